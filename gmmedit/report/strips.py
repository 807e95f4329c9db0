"""The images of the report: edits of samples that no fit has seen, a strip of strengths for each.

Reads samples.h5, labels.h5 and mixture.h5, generator and classifier; writes strips.h5.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import EditSettings, EvaluateSettings
from gmmedit.editing.session import EditSession, open_session
from gmmedit.pictures.pixels import from_bytes, to_bytes
from gmmedit.report.examples import ORDINARY, Example
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import first_unseen
from gmmedit.runtime.storage import lock

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the last strength of a strip
SHOWN = 6  # samples per category, besides its best and worst edit
SEARCHED = 32  # samples that are searched at once for those without a value
MOST_SEARCHED = 128
SIDE = 128  # pixels of the longer side of stored images, at most
SAVED_EVERY = 20  # seconds


@dataclass(frozen=True)
class Strips:
    """The contents of strips.h5: datasets with a row per strip, and notes of the edit session."""

    categories: np.ndarray
    seeds: np.ndarray
    roles: np.ndarray
    strengths: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    notes: list[str]

    @classmethod
    def read(cls, path: Path) -> "Strips":
        """Read strips.h5. InputError: it cannot be read."""
        with artifacts.open(path, "strips") as file:
            return cls(
                file["categories"], file["seeds"], file["roles"], file["strengths"], file["labels"], file["images"],
                file.attrs["notes"],
            )  # fmt: skip

    def ordinary(self, category: int) -> np.ndarray:
        """The rows of a category that are no best or worst edit."""
        return np.flatnonzero((self.categories == category) & (self.roles == ORDINARY))

    def row_of(self, example: Example) -> int:
        """The row of a best or worst edit."""
        same = (self.categories == example.category) & (self.roles == example.role)
        return int(np.flatnonzero(same)[0])


@torch.no_grad()
def make_strips(run: RunFolder, examples: list[Example], settings: EditSettings) -> Path:
    """Write strips.h5 beside mixture.h5, unless it is up to date; its path.

    InputError: the generator or the classifier is missing or has changed.
    """
    path, execution = run.file("strips"), run.execution
    first_seed = first_unseen(EvaluateSettings().first_seed, MOST_SEARCHED, run.samples)
    spec = run_spec(run.artifact("mixture"), examples, settings, first_seed)
    if artifacts.is_finished(path, spec, force=True):
        return path
    with lock(path):
        found = artifacts.load_checkpoint(path, spec, execution.restart, execution.force) or {}
        session = open_session(run, settings)
        write_strips(path, spec, found, session, examples, first_seed)
    return path


def write_strips(
    path: Path, spec: RunSpec, found: dict[str, np.ndarray], session: EditSession, examples: Sequence[Example],
    first_seed: int,
) -> None:  # fmt: skip
    """Write strips.h5, category by category; `found` holds those of the checkpoint."""
    pool, labels = draw_pool(session, first_seed)
    total, saved = session.model.layout.categories, time.monotonic()
    for category in range(total):
        session.execution.tick(category, total, "strips")
        if f"{category}/seeds" not in found:
            own = [example for example in examples if example.category == category]
            rows = strips_towards(session, category, pool, labels, own, first_seed)
            found |= {f"{category}/{name}": array for name, array in rows.items()}
        if time.monotonic() - saved > SAVED_EVERY or session.execution.stop.asked:
            artifacts.save_checkpoint(path, spec, found)
            saved = time.monotonic()
        session.execution.stop.check()
    shown = [category for category in range(total) if f"{category}/seeds" in found]
    names = {name.partition("/")[2]: None for name in found}  # in order
    arrays = {name: np.concatenate([found[f"{category}/{name}"] for category in shown]) for name in names}
    artifacts.write_whole(path, spec, arrays, {"notes": session.notes})


def run_spec(mixture: Artifact, examples: list[Example], settings: EditSettings, first_seed: int) -> RunSpec:
    """The specification of strips.h5."""
    requested = [[example.category, example.seed, example.strength, example.role] for example in examples]
    return RunSpec(
        kind="strips",
        n=SHOWN,
        seed=settings.seed,
        config=settings.model_dump(exclude_none=True)
        | {"first_seed": first_seed, "examples": requested, "searched": MOST_SEARCHED},
        parents={"mixture": mixture.fingerprint},
        generator=mixture.spec.generator,
        classifier=mixture.spec.classifier,
        attributes=mixture.spec.attributes,
    )


def strips_towards(
    session: EditSession, category: int, pool: Tensor, pool_labels: Tensor, examples: Sequence[Example], first_seed: int
) -> dict[str, np.ndarray]:
    """Strips towards one category: of the first samples of the pool without the value, and of the examples.

    Empty where there are neither.
    """
    shown = select_without(session, category, pool_labels)
    seeds = [*(first_seed + i for i in shown), *(example.seed for example in examples)]
    if not seeds:
        return {}
    latent = torch.cat(
        [pool[shown], *(session.to_layers(session.draw_latents([example.seed])) for example in examples)]
    )
    last = torch.tensor([*[1.0] * len(shown), *(example.strength for example in examples)])
    strengths = last[:, None] * torch.tensor(FRACTIONS)  # (N, S)
    editor = session.make_editor(seeds)
    images, labels = [], []
    for strength in strengths.unbind(1):
        pixels, scores = session.generate(session.move(editor, latent, [(category, strength)]))
        images.append(shrink_images(pixels))
        labels.append(scores)
    return {
        "categories": np.full(len(latent), category),
        "seeds": np.array(seeds),
        "roles": np.array([*[ORDINARY] * len(shown), *(example.role for example in examples)]),
        "strengths": strengths.numpy(),
        "labels": np.stack(labels, 1),
        "images": np.stack(images, 1),
    }


def draw_pool(session: EditSession, first_seed: int) -> tuple[Tensor, Tensor]:
    """Latents (N, L, D) and labels (N, K) of samples from first_seed on: SEARCHED at a time, until SHOWN of them lack
    each value, MOST_SEARCHED at most."""
    latents, labels = [], []
    for start in range(first_seed, first_seed + MOST_SEARCHED, SEARCHED):
        session.execution.stop.check()
        latents.append(session.to_layers(session.draw_latents(range(start, start + SEARCHED))))
        labels.append(torch.from_numpy(session.generate(latents[-1])[1]))
        lacking = (len(select_without(session, c, torch.cat(labels))) for c in range(session.model.layout.categories))
        if min(lacking) >= SHOWN:
            break
    return torch.cat(latents), torch.cat(labels)


def select_without(session: EditSession, category: int, labels: Tensor) -> list[int]:
    """The first rows of labels (N, K) without the value, SHOWN at most; fewer where others have it."""
    attribute, value = session.model.layout.locate(category)
    has = labels[:, session.model.layout.columns[attribute]].argmax(1) == value
    rows: list[int] = (~has).nonzero().flatten()[:SHOWN].tolist()
    return rows


def shrink_images(pixels: np.ndarray) -> np.ndarray:
    """Images uint8 (N, H, W, C) averaged down to at most SIDE pixels along the longer side."""
    largest = max(pixels.shape[1:3])
    if largest <= SIDE:
        return pixels
    height, width = (max(round(side * SIDE / largest), 1) for side in pixels.shape[1:3])
    return to_bytes(F.interpolate(from_bytes(pixels), (height, width), mode="area"))
