"""What the stages share: how to execute, progress, and the networks that an artifact names."""

import ctypes
import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.artifacts import Artifact, Question
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.embedding import Embedder
from gmmedit.errors import InputError, RunError, out_of_memory
from gmmedit.generators import Generator
from gmmedit.mixture.refining import Score
from gmmedit.spaces import Chart
from gmmedit.stages.shared.ranks import Ranks
from gmmedit.stages.shared.sampling import as_asked, sample_settings

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
SHIFT, NOISE = 1 / 32, 0.3  # of `disturbed`: of the picture's side; standard deviation, pixels are in [-1, 1]
SEEN = 64  # pixels a side at which two pictures are compared
TILE = 16  # rows; every batch is a whole number of tiles
most = {"rows": sys.maxsize}  # at once, once memory has been found too small for more
log = logging.getLogger("gmmedit")
Tick = Callable[[int, int, str], None]  # done, total, a few words
ALONE = Ranks()


def silent(done: int, total: int, text: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Execution:
    """How a stage computes; nothing here may change its result."""

    device: str = "cpu"
    batch: int = 16
    restart: bool = False  # discard unfinished work
    force: bool = False  # overwrite a finished artifact of another question
    trusting: bool = False  # run Python files that only an artifact names
    tick: Tick = silent
    ranks: Ranks = ALONE

    def finished(self, path: Path, question: Question) -> bool:
        """Whether the stage has nothing to do, as `artifacts.finished`."""
        return self.ranks.told(lambda: artifacts.finished(path, question, force=self.force))


def prepare(execution: Execution) -> None:
    """Process-wide settings. InputError: there is no such device."""
    most["rows"] = sys.maxsize
    torch.set_flush_denormal(True)  # responsibilities underflow, and denormal products are 160 times slower
    keep_freed_memory()
    try:
        torch.zeros(1, device=execution.device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise InputError(f"cannot use device {execution.device!r}: {reason}", hint="--device cpu") from error


def settle_precision(path: Path, question: Question, execution: Execution) -> Question:
    """The question, with what a precision of `auto` comes to here, for all processes of the command.

    A file that was begun goes on in the precision that it has, wherever that was, so that its bytes stay the same.
    """
    if question.config["precision"] != "auto":
        return question

    def found() -> str:
        before = None if execution.restart else artifacts.begun(path)
        recorded = before.resolved_config.get("precision") if before else None
        return recorded if recorded in ("fp32", "bf16") else resolve_precision("auto", execution.device)

    return replace(question, resolved={"precision": execution.ranks.told(found)})


def resolve_precision(precision: str, device: str) -> str:
    """`auto`: bf16 where the hardware multiplies it, fp32 elsewhere."""
    if precision != "auto":
        return precision
    fast = torch.cuda.is_bf16_supported() if device.startswith("cuda") else torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "fp32"


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which generator and classifier compute in that precision."""
    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bf16")


def keep_freed_memory() -> None:
    """Let glibc hold on to freed activations: faulting their pages in again cost a third of a synthesis."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)  # large blocks come from the heap too
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # which never shrinks


def in_batches(function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor, batch: int) -> tuple[Tensor, ...]:
    """function(rows) in batches, its answers joined on the CPU.

    Every call sees a whole number of tiles: matrix products of fewer rows round differently, and no row's
    result may depend on the batch size or on how many rows follow it. So a batch for which there is no memory is
    halved, for the rest of the stage too. RunError: there is none for a single tile.
    """
    found: tuple[Tensor, ...] = ()
    first = 0
    while first < len(rows):
        size = min(max(batch // TILE, 1) * TILE, most["rows"])
        answers = attempt(function, padded(rows[first : first + size], TILE))
        if answers is None:
            most["rows"] = halved(min(size, len(rows) - first))
            continue
        # One place for all, from the start: small answers kept between large blocks that come and go split the heap.
        found = found or tuple(answer.new_empty(len(rows), *answer.shape[1:]) for answer in answers)
        for whole, answer in zip(found, answers, strict=True):
            whole[first : first + size] = answer[: len(rows) - first]
        first += size
    return found


def attempt(function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...] | None:
    """function(rows) on the CPU; None: there is no memory for it."""
    try:
        return tuple(answer.cpu() for answer in function(rows))
    except Exception as error:
        if not out_of_memory(error):
            raise
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return None


def halved(size: int) -> int:
    """The next smaller whole number of tiles; says so. RunError: there is none."""
    if size <= TILE:
        message = f"there is no memory for {TILE} pictures at once"
        raise RunError(message, hint="another --device, or a smaller generator or classifier")
    smaller = max(size // 2 // TILE, 1) * TILE
    log.warning("note: no memory for %d pictures at once, going on with %d; the result is the same", size, smaller)
    return smaller


def padded(rows: Tensor, tile: int) -> Tensor:
    """The rows, the last one repeated until they are a whole number of tiles."""
    return torch.cat([rows, rows[-1:].expand(-len(rows) % tile, *rows.shape[1:])])


def network_source(text: str) -> str:
    """What an artifact keeps of `--gan` and `--classifier` to find the network again: a name, or the path of a file.

    Every spelling of a file is the same question, so that an unchanged stage does not run again. Below the
    working directory the path is relative: a project copied to another machine goes on there, to the same bytes.
    """
    if not Path(text).is_file():
        return text
    relative = os.path.relpath(text)
    return os.path.abspath(text) if relative.startswith(os.pardir) else relative


def network_record(name: str, fingerprint: str) -> dict[str, str]:
    """What an artifact keeps of a network: files go by their name, wherever they lie."""
    return {"name": Path(name).name, "fingerprint": fingerprint}


def check_channels(network: Classifier | Embedder, name: str, channels: int) -> None:
    """InputError: the network does not take pictures of so many channels."""
    if channels not in network.channels:
        wanted = " or ".join(str(number) for number in network.channels)
        message = f"{name} takes pictures of {wanted} channels, the generator's have {channels}"
        raise InputError(message, hint="input: {colors: grey} in its YAML describes a network of one channel")


def load_generator(samples: Artifact, execution: Execution) -> Generator:
    """The generator that made the samples. InputError: its weights are not those any more, or it is a program that the
    user has not named."""
    settings = sample_settings(samples)
    generator = generators.load(settings.gan, execution.device, trusted=execution.trusting)
    _check(samples, "generator", samples.question.generator, generator.fingerprint)
    return as_asked(generator, settings)


def load_classifier(labels: Artifact, execution: Execution) -> Classifier:
    """The classifier that made the labels, calibrated as for them. InputError: as `open_classifier`, or its weights are
    not those any more."""
    classifier = open_classifier(labels, execution)
    _check(labels, "classifier", labels.question.classifier, classifier.fingerprint)
    calibrate_as(classifier, labels)
    return classifier


def open_classifier(artifact: Artifact, execution: Execution) -> Classifier:
    """The classifier that the artifact names, whatever its weights are. InputError: it is not there, or it is a program
    that the user has not named."""
    name = artifact.question.config.get("classifier")
    if not isinstance(name, str):
        message = f"{artifact.path} does not say which classifier it was made with"
        raise InputError(message, hint=f"make it again: {artifact.kind.command} --force")
    return classifiers.load(name, execution.device, trusted=execution.trusting)


def calibrate_as(classifier: Classifier, labels: Artifact) -> None:
    """Give the labelling classifier the scale and shift with which it made the labels, where it has such."""
    if classifier.calibration:
        classifier.calibration.load(labels.attrs["calibration"])


def _check(artifact: Artifact, part: str, recorded: object, fingerprint: str) -> None:
    expected = recorded["fingerprint"] if isinstance(recorded, dict) else None
    if expected != fingerprint:
        found = f"fingerprint {fingerprint[:12]}, {artifact.path} was made with {str(expected)[:12]}"
        raise InputError(f"the {part} has changed ({found})", hint=f"{artifact.kind.command} --force")


def layers_of(generator: Generator, space: str) -> int:
    """L, the number of latents that a picture takes in that space: those of W+, one in Z."""
    return generator.w_shape[0] if space == "w" and generator.w_shape else 1


def scorer(
    chart: Chart, paint: Callable[[Tensor], Tensor], classifier: Classifier, precision: str, device: str
) -> Score:
    """Coordinates x (N, L, D) through the real networks to logits (N, K) and pictures (N, C, H, W), differentiable.

    The pictures are shrunk to SEEN pixels a side where they are larger. Both come on x's device, in float32.
    """

    def score(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        with autocast(precision, device):
            images = paint(chart.from_x(x))
            logits = classifier.logits(images if disturbance is None else disturbed(images, disturbance))
        small = images.float() if images.shape[-1] <= SEEN else F.adaptive_avg_pool2d(images.float(), SEEN)
        return logits.float().to(x.device), small.to(x.device)

    return score


def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) moved by up to SHIFT and with noise, the same for every image."""
    reach = max(round(SHIFT * images.shape[-1]), 1)
    down, right = torch.randint(2 * reach + 1, (2,), generator=generator).tolist()
    height, width = images.shape[-2:]
    around = F.pad(images, (reach,) * 4, mode="replicate")
    noise = torch.randn(images.shape[1:], generator=generator).to(images)
    return around[..., down : down + height, right : right + width] + NOISE * noise


def seeded_latents(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """One standard normal latent per seed, float32 (N, z_dim): that of NVIDIA's `--seeds`."""
    rows = np.empty((len(seeds), z_dim), np.float32)
    source = np.random.RandomState(0)  # a new one for every seed would take ten times as long
    for row, seed in zip(rows, seeds, strict=True):
        source.seed(seed)
        row[:] = source.randn(z_dim)
    return rows
