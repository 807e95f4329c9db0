"""The three stages one after the other, with their files in a folder: checkpoints, logs, curves, weights.

candidates.safetensors holds the candidates of stage 1, basis.safetensors the generator's basis of stage 2,
contrast.safetensors (reader.safetensors, by regression) the directions and the encoder of stage 3. A stopped training
resumes from its checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from gmmedit.config import DiscoverSettings
from gmmedit.discovery.candidates import CandidateSettings, CandidateTraining
from gmmedit.discovery.components import Components, count_directions, find_components
from gmmedit.discovery.contrast import ContrastSettings, ContrastTraining
from gmmedit.discovery.decomposition import Basis, decompose, orthonormal, principal_directions
from gmmedit.discovery.effects import Tell
from gmmedit.discovery.latents import Bank, Latents, random_directions
from gmmedit.discovery.network import CodeNetwork
from gmmedit.discovery.reader import ReaderSettings, ReaderTraining, changed_places, reading_bank, share_codes
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
    tell: Tell | None  # what the encoder's codes say, if several numbers share one
    history: Mapping[str, list[float]]  # of the encoder; `step` and the losses


@dataclass(frozen=True)
class Task:
    """What all stages are given. identity: a digest of what is not in the settings; k: the number of directions."""

    latents: Latents
    settings: DiscoverSettings
    k: int
    identity: str
    folder: Path
    execution: Execution


def find_directions(
    latents: Latents, settings: DiscoverSettings, identity: str, folder: Path, execution: Execution
) -> Found:
    """Run the stages that the method needs, in `folder`. identity: a digest of what is not in the settings.

    InputError: more directions than dimensions, or than the images have components. Errors as of `run_training`.
    """
    reads = encoder_of(settings) != "contrast"
    bank = cache(lambda: reading_bank(latents))  # images that not every method looks at
    k = count_directions(bank()) if settings.k == "auto" else settings.k
    task = Task(latents, settings, k, identity, folder, execution)
    candidates, basis = find_candidates(task), find_basis(task)
    components = find_components(bank(), k, settings.turn) if settings.method == "components" else None
    start = components.directions if components else starting_directions(task, candidates, basis)
    directions = start[:k]
    trainer: ContrastTraining | ReaderTraining
    if settings.method == "contrastive" or not reads:
        trainer = train_contrast(task, start)
        directions = trainer.directions()
    if reads:
        trainer = train_reader(task, directions, bank(), components)
    encoder = trainer.encoder.eval().requires_grad_(False)
    history = read_history(folder / f"{trainer.name}.jsonl", LOSSES[trainer.name])
    tell = trainer.tell if isinstance(trainer, ReaderTraining) else None
    return Found(directions, candidates, basis, encoder, tell, history)


def encoder_of(settings: DiscoverSettings) -> str:
    """What the encoder reads: "components" of images, coordinates by "regression", or what a "contrast" tells apart."""
    if settings.encoder != "auto":
        return settings.encoder
    return {"components": "components", "varimax": "regression"}.get(settings.method, "contrast")


def train_contrast(task: Task, start: Tensor) -> ContrastTraining:
    """Stage 3: the encoder, and directions turned with it if the method is "contrastive"."""
    settings = task.settings
    chosen = ContrastSettings(
        f"{task.identity} {digest_of(start)}", task.k, settings.method == "contrastive", settings.seed, settings.steps,
        settings.groups, settings.repeats, settings.lr, settings.shift, settings.loss, settings.flip, settings.entropy,
        settings.temperature,
    )  # fmt: skip
    contrast = ContrastTraining(chosen, task.latents, start)
    run_stage(contrast, task, lambda path: save_encoder(contrast, contrast.directions(), path))
    return contrast


def train_reader(task: Task, directions: Tensor, bank: Bank, components: Components | None) -> ReaderTraining:
    """Stage 3 by regression: the encoder that reads the components of images, else coordinates along directions."""
    settings = task.settings
    if components and encoder_of(settings) == "components":
        wanted, places = components.scores.float(), components.places
    else:
        wanted = bank.x @ directions.T.to(bank.x)
        places = changed_places(task.latents, directions, task.execution)
    chosen = ReaderSettings(
        f"{task.identity} {digest_of(wanted)}", share_codes(places, settings.share), settings.seed, settings.steps,
        2 * settings.groups * settings.repeats, settings.lr,
    )  # fmt: skip
    reader = ReaderTraining(chosen, task.latents, bank, wanted)
    run_stage(reader, task, lambda path: save_encoder(reader, directions, path))
    return reader


def digest_of(numbers: Tensor) -> str:
    """What tells directions, or what is read, from others."""
    return weights.fingerprint_tensors({"start": numbers.cpu()})[:16]


def find_candidates(task: Task) -> Tensor | None:
    """Stage 1: the candidates (k, D'); None: the method does without."""
    settings = task.settings
    if not settings.candidate_steps or settings.method not in ("contrastive", "shift"):
        return None
    batch = settings.groups * settings.repeats
    chosen = CandidateSettings(
        task.identity, task.k, settings.seed, settings.candidate_steps, batch, settings.lr, settings.shift
    )
    training = CandidateTraining(chosen, task.latents)

    def save(path: Path) -> None:
        weights.write_weights(path, {"directions": training.directions()}, KEY, asdict(chosen))

    run_stage(training, task, save)
    return training.directions()


def find_basis(task: Task) -> Basis | None:
    """Stage 2: the generator's basis; None: the method does without."""
    settings = task.settings
    if settings.method not in ("sefa", "varimax") and not (settings.method == "contrastive" and settings.decomposition):
        return None
    basis = decompose(task.latents, task.execution)
    tensors = {"rows": basis.rows, "values": basis.values}
    task.folder.mkdir(parents=True, exist_ok=True)
    weights.write_weights(task.folder / "basis.safetensors", tensors, KEY, {"source": basis.source})
    return basis


def starting_directions(task: Task, candidates: Tensor | None, basis: Basis | None) -> Tensor:
    """Where the contrast starts: orthonormal rows of which the first k are the directions.

    Of "contrastive": the first k of the basis, turned so that they are as near to the candidates as their span
    allows (A = S Q, Q the polar factor of the candidates' coordinates). Without the decomposition: the candidates and
    the rest of the space, into which they may turn.
    """
    latents, settings, k = task.latents, task.settings, task.k
    dim = latents.x.shape[1]
    if settings.method == "pca":
        return principal_directions(latents, k, task.execution)
    if settings.method == "varimax" and basis is not None:
        return varimax_directions(latents, basis.rows[:k], task.execution)
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


def run_stage(trainer: Trainer, task: Task, save: Callable[[Path], None]) -> None:
    """Train to the end, from the checkpoint if it is of the same settings; one of others is discarded."""
    folder, execution = task.folder, task.execution
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
