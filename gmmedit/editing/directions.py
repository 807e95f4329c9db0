"""Moves along discovered directions: directions.h5 applied to latents."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.discovery.reading import Directions, read_directions
from gmmedit.editing.session import EditSession, Move
from gmmedit.editing.steps import Amounts
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.commands import on_run


@dataclass(frozen=True)
class Mover:
    """Directions of a run, and how many steps to go along them."""

    directions: Directions
    amounts: Amounts
    fingerprint: str  # of directions.h5

    def move(self, latent: Tensor, scale: Tensor) -> Tensor:
        """Latents (N, L, D) moved by `scale` (N,) times the steps; each by itself, so that no row rounds another."""
        rows = zip(latent.split(1), scale.split(1), strict=True)
        return torch.cat([
            self.directions.move(row, {number: steps * factor for number, steps in self.amounts})
            for row, factor in rows
        ])  # fmt: skip


def open_mover(run_folder: RunFolder, amounts: Amounts, space: str) -> Mover | None:
    """The directions of a run, for latents of `space`; None: no direction is asked for.

    InputError: directions.h5 is missing, of other samples or another generator, of another space, or has no such
    direction.
    """
    if not amounts:
        return None
    artifact = run_folder.artifact("directions")
    directions, last = read_directions(artifact), len(artifact["scale"]) - 1
    if directions.space != space:
        message = f"{artifact.path} holds directions of {directions.space.upper()}, the run edits in {space.upper()}"
        hint = f"run: {on_run(f'gmmedit discover --space {space} --force', artifact.path.parent)}"
        raise InputError(message, hint=hint)
    number = max(number for number, _ in amounts)
    if number > last:
        raise InputError(f"there is no direction {number} in {artifact.path}", hint=f"--direction 0 to {last}")
    return Mover(directions, amounts, artifact.fingerprint)


def move_all(
    session: EditSession, editor: MixtureEditor, latent: Tensor, moves: list[Move], scale: Tensor, mover: Mover | None
) -> Tensor:
    """Latents (N, L, D) of one chunk moved towards all categories, then along the directions, `scale` (N,) times."""
    moved = session.move(editor, latent, moves) if moves else latent
    return mover.move(moved, scale) if mover else moved
