"""`gmmedit train saae`: settings sized to the data, and what the result's file holds beside the networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import InputError
from gmmedit.networks.saae import SAAE, save_saae
from gmmedit.runtime.execution import Execution
from gmmedit.training.from_data import DataRequest, describe_training, open_data
from gmmedit.training.loop import run_training
from gmmedit.training.precision import gains_from_bf16
from gmmedit.training.saae import SAAETraining
from gmmedit.training.saae_measures import measure_held_out
from gmmedit.training.saae_settings import SAAESettings
from gmmedit.training.style_data import split_styles

ROUNDS = 50  # of Lloyd's algorithm, at most
LARGEST = 64  # pixels of a side: every layer of the decoder works on whole images


def train_saae(
    out: Path, request: DataRequest, settings: SAAESettings, attr: str | None, execution: Execution
) -> tuple[Path, DataSet, dict[str, Any]]:
    """Train an SAAE of a data set in `out`, resuming its checkpoint: the path of the networks, the data, what is stored
    of the training.

    attr: the attribute that is content; None: the first. InputError: the data cannot be used. Other errors as in
    `run_training`.
    """
    data = open_data(request)
    if max(data.image_shape[1:]) > LARGEST:
        raise InputError(f"SAAE takes images of at most {LARGEST} pixels", hint=f"--size {LARGEST}")
    styles = split_styles(data, attr)
    settings = replace(settings, seed=request.seed, data=f"{data.fingerprint} {styles.content.name}")
    if request.images:
        settings = settings.lasting(max(1, request.images // settings.batch))
    training = SAAETraining(settings, styles, execution.device, gains_from_bf16(execution.device))
    facts = describe_training("saae", data, training.total, settings.seed) | describe_phases(settings)

    def save(path: Path) -> None:
        network = complete(training)
        facts.update(measure_held_out(network, styles))
        save_saae(network, path, facts)

    return run_training(training, out, save, execution), data, facts


def describe_phases(settings: SAAESettings) -> dict[str, Any]:
    """What the result's file tells of its schedule, JSON-ready."""
    return {"phases": [f"{phase.train} {phase.steps} x {phase.lr:g}" for phase in settings.phases],
            "critic": f"{settings.critic}, {settings.loss}"}  # fmt: skip


@torch.no_grad()
def complete(training: SAAETraining) -> SAAE:
    """The averaged networks with the last critic, the codes of the styles that trained, and their groups."""
    network = training.average
    network.critic.load_state_dict(training.network.critic.state_dict())
    codes = torch.cat([network.style(strip.to(training.device)) for strip in training.whole])
    centres, spread = group_codes(codes.cpu(), len(network.centres))
    for name, value in {"codes": codes, "centres": centres, "spread": spread}.items():
        getattr(network, name).copy_(value)
    return network


def group_codes(codes: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Centres (groups, D) of codes (n, D), n >= groups, the most frequent group first, and the standard deviation () of
    a coordinate about its centre.

    Lloyd's algorithm; it starts from the group of all, of which the widest is halved along its principal direction
    until there are enough, so that no draw is random and hardly any group is small.
    """
    own = torch.zeros(len(codes), dtype=torch.long)
    for number in range(1, groups):
        scatter = [(codes[own == g] - codes[own == g].mean(0)).square().sum() for g in range(number)]
        widest = int(torch.stack(scatter).argmax())
        members = (own == widest).nonzero()[:, 0]
        apart = codes[members] - codes[members].mean(0)
        place = apart @ torch.linalg.eigh(apart.T @ apart).eigenvectors[:, -1]
        own[members[place.argsort(stable=True)[len(place) // 2 :]]] = number
    for _ in range(ROUNDS):
        counts = own.bincount(minlength=groups)
        centres = torch.zeros(groups, codes.shape[1]).index_add_(0, own, codes) / counts.clamp(min=1)[:, None]
        before, own = own, torch.cdist(codes, centres).argmin(1)
        if torch.equal(own, before):
            break
    order = own.bincount(minlength=groups).argsort(descending=True, stable=True)
    spread = (codes - centres[own]).square().mean().sqrt().clamp(min=1e-6)
    return centres[order], spread
