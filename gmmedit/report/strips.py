"""The pictures of the report: edits of samples that no fit has seen, a strip of strengths for each.

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

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the strength that a strip ends at
SHOWN = 6  # samples of each category, beside its best and worst edit
LOOKED_AT = 32  # samples from which those are taken, in order, that do not have the value
SIDE = 128  # pixels that a picture is shrunk to
SAVED_EVERY = 20  # seconds


@dataclass(frozen=True)
class Strips:
    """What strips.h5 holds, read once: arrays along its rows, and what the networks did not allow."""

    categories: np.ndarray
    seeds: np.ndarray
    roles: np.ndarray
    strengths: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    notes: list[str]

    @classmethod
    def read(cls, path: Path) -> "Strips":
        with artifacts.open(path, "strips") as file:
            return cls(
                file["categories"], file["seeds"], file["roles"], file["strengths"], file["labels"], file["images"],
                file.attrs["notes"],
            )  # fmt: skip

    def ordinary(self, category: int) -> np.ndarray:
        """Rows of the samples that were taken in order."""
        return np.flatnonzero((self.categories == category) & (self.roles == ORDINARY))

    def of(self, example: Example) -> int:
        """The row of a picked edit."""
        same = (self.categories == example.category) & (self.roles == example.role)
        return int(np.flatnonzero(same)[0])


@torch.no_grad()
def make_strips(run: RunFolder, examples: list[Example], settings: EditSettings) -> Path:
    """Write strips.h5 beside mixture.h5, unless it is there and up to date.

    InputError: the generator or the classifier is not there, or not as it was.
    """
    path, execution = run.file("strips"), run.execution
    first_seed = first_unseen(EvaluateSettings().first_seed, LOOKED_AT, run.samples)
    spec = run_spec(run.artifact("mixture"), examples, settings, first_seed)
    if artifacts.is_finished(path, spec, force=True):
        return path
    with lock(path):
        found = artifacts.load_checkpoint(path, spec, execution.restart, execution.force) or {}
        session = open_session(run, settings)
        fill(path, spec, found, session, examples, first_seed)
    return path


def fill(
    path: Path, spec: RunSpec, found: dict[str, np.ndarray], session: EditSession, examples: Sequence[Example],
    first_seed: int,
) -> None:  # fmt: skip
    """One category after the other, but those that were found already."""
    pool = session.layered(session.latents(range(first_seed, first_seed + LOOKED_AT)))
    seen = torch.from_numpy(session.generate(pool)[1])
    total, saved = session.model.layout.categories, time.monotonic()
    for category in range(total):
        session.execution.tick(category, total, "strips")
        if f"{category}/seeds" not in found:
            own = [example for example in examples if example.category == category]
            rows = strips_towards(session, category, pool, seen, own, first_seed)
            found |= {f"{category}/{name}": array for name, array in rows.items()}
        if time.monotonic() - saved > SAVED_EVERY or session.execution.stop.asked:
            artifacts.save_checkpoint(path, spec, found)
            saved = time.monotonic()
        session.execution.stop.check()
    names = [name.removeprefix("0/") for name in found if name.startswith("0/")]
    arrays = {name: np.concatenate([found[f"{category}/{name}"] for category in range(total)]) for name in names}
    artifacts.write_whole(path, spec, arrays, {"notes": session.notes})


def run_spec(mixture: Artifact, examples: list[Example], settings: EditSettings, first_seed: int) -> RunSpec:
    asked = [[example.category, example.seed, example.strength, example.role] for example in examples]
    return RunSpec(
        kind="strips",
        n=SHOWN,
        seed=settings.seed,
        config=settings.model_dump(exclude_none=True) | {"first_seed": first_seed, "examples": asked},
        parents={"mixture": mixture.fingerprint},
        generator=mixture.spec.generator,
        classifier=mixture.spec.classifier,
        attributes=mixture.spec.attributes,
    )


def strips_towards(
    session: EditSession, category: int, pool: Tensor, seen: Tensor, examples: Sequence[Example], first_seed: int
) -> dict[str, np.ndarray]:
    """Strips towards one category: of the first samples without its value in the pool, and of the picked edits."""
    shown = without(session, category, seen)
    seeds = [*(first_seed + i for i in shown), *(example.seed for example in examples)]
    latent = torch.cat([pool[shown], *(session.layered(session.latents([example.seed])) for example in examples)])
    reach = torch.tensor([*[1.0] * len(shown), *(example.strength for example in examples)])
    strengths = reach[:, None] * torch.tensor(FRACTIONS)  # (N, S)
    editor = session.editor(seeds)
    images, labels = [], []
    for strength in strengths.unbind(1):
        pixels, scores = session.generate(session.move(editor, latent, [(category, strength)]))
        images.append(shrunk(pixels))
        labels.append(scores)
    return {
        "categories": np.full(len(latent), category),
        "seeds": np.array(seeds),
        "roles": np.array([*[ORDINARY] * len(shown), *(example.role for example in examples)]),
        "strengths": strengths.numpy(),
        "labels": np.stack(labels, 1),
        "images": np.stack(images, 1),
    }


def without(session: EditSession, category: int, seen: Tensor) -> list[int]:
    """The first SHOWN rows of labels (N, K) that do not have the value; where there are fewer, others follow."""
    attribute, value = session.model.layout.locate(category)
    has = seen[:, session.model.layout.columns[attribute]].argmax(1) == value
    rows: list[int] = has.int().argsort(stable=True)[:SHOWN].tolist()
    return rows


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Pictures (N, H, W, C) of at most SIDE pixels a side, as bytes."""
    largest = max(pixels.shape[1:3])
    if largest <= SIDE:
        return pixels
    height, width = (max(round(side * SIDE / largest), 1) for side in pixels.shape[1:3])
    return to_bytes(F.interpolate(from_bytes(pixels), (height, width), mode="area"))
