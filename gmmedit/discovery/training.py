"""The three stages one after the other, with their files in a folder: checkpoints, logs, curves, weights.

candidates.safetensors holds the candidates of stage 1, basis.safetensors the generator's basis of stage 2,
contrast.safetensors (reader.safetensors, by regression) the directions and the encoder of stage 3. A stopped training
resumes from its checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from gmmedit.config import DiscoverSettings
from gmmedit.discovery.candidates import CandidateSettings, CandidateTraining
from gmmedit.discovery.contrast import ContrastSettings, ContrastTraining
from gmmedit.discovery.decomposition import Basis, decompose, orthonormal, principal_directions
from gmmedit.discovery.latents import Latents, random_directions
from gmmedit.discovery.network import CodeNetwork
from gmmedit.discovery.reader import ReaderSettings, ReaderTraining, changed_places, share_codes
from gmmedit.discovery.varimax import varimax_directions
from gmmedit.errors import InputError
from gmmedit.networks import weights
from gmmedit.runtime.execution import Execution
from gmmedit.training import loop
from gmmedit.training.base import Trainer
from gmmedit.training.checkpoints import read_checkpoint, read_log

KEY = "discovery"
LOG_EVERY = 10  # steps
LOSSES = {"contrast": ("contrast", "entropy", "told"), "reader": ("unexplained",)}  # kept of each training


@dataclass(frozen=True)
class Found:
    """What the stages found: directions (k, D'), and of the stages that ran the candidates (k, D') and the basis."""

    directions: Tensor
    candidates: Tensor | None
    basis: Basis | None
    encoder: CodeNetwork
    history: Mapping[str, list[float]]  # of the encoder; `step` and the losses


def find_directions(
    latents: Latents, settings: DiscoverSettings, identity: str, folder: Path, execution: Execution
) -> Found:
    """Run the stages that the method needs, in `folder`. identity: a digest of what is not in the settings.

    Errors as of `run_training`.
    """
    candidates = find_candidates(latents, settings, identity, folder, execution)
    basis = find_basis(latents, settings, folder, execution)
    directions = starting_directions(latents, settings, candidates, basis, execution)
    trainer: ContrastTraining | ReaderTraining
    reads = encoder_of(settings) == "regression"
    if settings.method == "contrastive" or not reads:
        trainer = train_contrast(latents, settings, identity, directions, folder, execution)
        directions = trainer.directions()
    if reads:
        trainer = train_reader(latents, settings, identity, directions, folder, execution)
    encoder = trainer.encoder.eval().requires_grad_(False)
    history = read_history(folder / f"{trainer.name}.jsonl", LOSSES[trainer.name])
    return Found(directions, candidates, basis, encoder, history)


def encoder_of(settings: DiscoverSettings) -> str:
    """How the encoder is trained: "contrast" or "regression"."""
    if settings.encoder != "auto":
        return settings.encoder
    return "regression" if settings.method == "varimax" else "contrast"


def train_contrast(
    latents: Latents, settings: DiscoverSettings, identity: str, start: Tensor, folder: Path, execution: Execution
) -> ContrastTraining:
    """Stage 3: the encoder, and directions turned with it if the method is "contrastive"."""
    chosen = ContrastSettings(
        f"{identity} {digest_of(start)}", settings.k, settings.method == "contrastive", settings.seed, settings.steps,
        settings.groups, settings.repeats, settings.lr, settings.shift, settings.loss, settings.flip, settings.entropy,
        settings.temperature,
    )  # fmt: skip
    contrast = ContrastTraining(chosen, latents, start)
    run_stage(contrast, folder, lambda path: save_encoder(contrast, contrast.directions(), path), execution)
    return contrast


def train_reader(
    latents: Latents, settings: DiscoverSettings, identity: str, directions: Tensor, folder: Path, execution: Execution
) -> ReaderTraining:
    """Stage 3 by regression: the encoder that reads coordinates along the directions (k, D')."""
    codes = share_codes(changed_places(latents, directions, execution), settings.share)
    chosen = ReaderSettings(
        f"{identity} {digest_of(directions)}", codes, settings.seed, settings.steps,
        2 * settings.groups * settings.repeats, settings.lr,
    )  # fmt: skip
    reader = ReaderTraining(chosen, latents, directions)
    run_stage(reader, folder, lambda path: save_encoder(reader, directions, path), execution)
    return reader


def digest_of(directions: Tensor) -> str:
    """What tells directions from others."""
    return weights.fingerprint_tensors({"start": directions})[:16]


def find_candidates(
    latents: Latents, settings: DiscoverSettings, identity: str, folder: Path, execution: Execution
) -> Tensor | None:
    """Stage 1: the candidates (k, D'); None: the method does without."""
    if not settings.candidate_steps or settings.method not in ("contrastive", "shift"):
        return None
    batch = settings.groups * settings.repeats
    chosen = CandidateSettings(
        identity, settings.k, settings.seed, settings.candidate_steps, batch, settings.lr, settings.shift
    )
    training = CandidateTraining(chosen, latents)

    def save(path: Path) -> None:
        weights.write_weights(path, {"directions": training.directions()}, KEY, asdict(chosen))

    run_stage(training, folder, save, execution)
    return training.directions()


def find_basis(latents: Latents, settings: DiscoverSettings, folder: Path, execution: Execution) -> Basis | None:
    """Stage 2: the generator's basis; None: the method does without."""
    if settings.method not in ("sefa", "varimax") and not (settings.method == "contrastive" and settings.decomposition):
        return None
    basis = decompose(latents, execution)
    tensors = {"rows": basis.rows, "values": basis.values}
    folder.mkdir(parents=True, exist_ok=True)
    weights.write_weights(folder / "basis.safetensors", tensors, KEY, {"source": basis.source})
    return basis


def starting_directions(
    latents: Latents, settings: DiscoverSettings, candidates: Tensor | None, basis: Basis | None, execution: Execution
) -> Tensor:
    """Where the contrast starts: orthonormal rows of which the first k are the directions.

    Of "contrastive": the first k of the basis, turned so that they are as near to the candidates as their span
    allows (A = S Q, Q the polar factor of the candidates' coordinates). Without the decomposition: the candidates and
    the rest of the space, into which they may turn.
    """
    k, dim = settings.k, latents.x.shape[1]
    if settings.method == "pca":
        return principal_directions(latents, k, execution)
    if settings.method == "varimax" and basis is not None:
        return varimax_directions(latents, basis.rows[:k], execution)
    if settings.method == "random":
        return random_directions(k, dim, settings.seed)
    if settings.method == "contrastive" and candidates is not None and basis is not None:
        span = basis.rows[:k].double()
        return (orthonormal_rotation(candidates.double() @ span.T) @ span).float()
    if settings.method == "contrastive":
        known = random_directions(k, dim, settings.seed) if candidates is None else candidates
        return basis.rows[:k] if basis is not None else complete(known)
    if candidates is not None:
        return candidates
    return basis.rows[:k] if basis is not None else random_directions(k, dim, settings.seed)


def orthonormal_rotation(matrix: Tensor) -> Tensor:
    """The orthogonal matrix (k, k) that is nearest to a matrix (k, k): its polar factor."""
    u, _, vh = torch.linalg.svd(matrix)
    return u @ vh


def complete(rows: Tensor) -> Tensor:
    """An orthonormal basis (D, D) whose first rows are these (k, D)."""
    _, _, vh = torch.linalg.svd(rows, full_matrices=True)
    return torch.cat([orthonormal(rows), vh[len(rows) :]])


def run_stage(trainer: Trainer, folder: Path, save: Callable[[Path], None], execution: Execution) -> None:
    """Train to the end, from the checkpoint if it is of the same settings; one of others is discarded."""
    path = folder / f"{trainer.name}.checkpoint"
    try:
        saved = read_checkpoint(path)
    except InputError:
        if not execution.force:
            raise
        saved = {"settings": None}
    if saved and (execution.restart or saved["settings"] != asdict(trainer.settings)):
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    loop.run_training(trainer, folder, save, execution, LOG_EVERY)


def save_encoder(trainer: ContrastTraining | ReaderTraining, directions: Tensor, path: Path) -> None:
    """Write the directions and the encoder."""
    tensors = {f"encoder.{name}": value for name, value in trainer.encoder.state_dict().items()}
    weights.write_weights(path, tensors | {"directions": directions}, KEY, asdict(trainer.settings))


def read_history(log: Path, names: Sequence[str]) -> dict[str, list[float]]:
    """The steps and losses of a training's log; empty if it took fewer than LOG_EVERY steps."""
    lines = read_log(log, {"images", *names})
    history: dict[str, list[float]] = {name: [float(line[name]) for line in lines] for name in names}
    return {"step": [float(LOG_EVERY * (i + 1)) for i in range(len(lines))], **history}
