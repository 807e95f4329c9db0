"""The session of one open page: the image it edits, what its controls ask for, and its history.

A preview is the edit of one pass; the optimised edit follows when the controls have come to
rest, and is abandoned as soon as they move again.
"""

import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from gmmedit.causal.model import CausalModel
from gmmedit.discovery.reading import Directions
from gmmedit.editing.do import move_together, predict_goals
from gmmedit.editing.request import Aim, Attributes
from gmmedit.editing.session import EditSession, Move
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import GmmeditError, InputError
from gmmedit.mixture.score import Score
from gmmedit.web.controls import Act, Along, AnyAim, to_pasted

MAX_UNDONE = 20  # edits that undo goes back
MAX_KNOWN = 64  # offsets that an editor keeps
ARRIVAL = 2.0  # seconds that an optimisation waits for the preview of the same values
PATIENCE = 0.3  # seconds without a change after which controls are at rest

Aims = tuple[AnyAim, ...]


class Superseded(GmmeditError):
    """The page asks for something else by now."""


class Closed(InputError):
    """The session of a page is over, and its image is gone."""


@dataclass(frozen=True, eq=False)
class Start:
    """The image that a page edits.

    Attributes:
        latent: (1, L, D).
        number: the seed, or the row of a file, which names the image file as `gmmedit edit` does.
        source: the options of `gmmedit edit` that name it: `("--seeds", "7")`.
        pixels, labels: uint8 (H, W, C) and (K,) of the unedited image.
        photograph: the one that was inverted, as it was cut, uint8 (H, W, C); None: there is none.
        generated: where edits are pasted into the photograph, its reconstruction, uint8 (H, W, C).
        command: words of the command that inverts it; empty where there is none.
    """

    latent: Tensor
    number: int
    source: tuple[str, ...]
    pixels: np.ndarray
    labels: np.ndarray
    photograph: np.ndarray | None = None
    generated: np.ndarray | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edited:
    """An edit of a start: its latent (1, L, D), pixels uint8 (H, W, C), labels (K,); `final`: no better one follows."""

    start: Start
    aims: Aims
    latent: Tensor
    pixels: np.ndarray
    labels: np.ndarray
    final: bool


@dataclass(frozen=True)
class Step:
    """An entry of the history: what was asked for, and the final latent (1, L, D)."""

    start: Start
    aims: Aims
    latent: Tensor

    def asks(self, start: Start | None, aims: Aims) -> bool:
        """Whether it is the edit of that image by those aims."""
        return self.start is start and self.aims == aims


class Watched:
    """A `Score` that ends an optimisation when its page has moved on, and lets one page at a time use the networks."""

    def __init__(self, score: Score, networks: threading.RLock) -> None:
        self.score, self.networks = score, networks
        self.superseded: Callable[[], bool] = lambda: True

    def __call__(self, x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """See `Score`. Superseded: the page asks for something else."""
        if self.superseded():
            raise Superseded("the page has moved on")
        with self.networks:
            return self.score(x, random)


class Optimising:
    """A context in which a `Watched` score computes until a page asks for something else."""

    def __init__(self, score: Watched | None, superseded: Callable[[], bool]) -> None:
        self.score, self.superseded = score, superseded

    def __enter__(self) -> None:
        if self.score:
            self.score.superseded = self.superseded

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.score:
            self.score.superseded = lambda: True


class Tab:
    """The session of one page.

    `session` edits in one pass, `optimised` as `gmmedit edit` does; both do the same where nothing can be optimised.
    """

    def __init__(
        self, session: EditSession, attributes: Attributes, networks: threading.RLock, folder: Path,
        directions: Directions | None = None, causes: CausalModel | None = None,
    ) -> None:  # fmt: skip
        self.attributes, self.networks, self.folder = attributes, networks, folder
        self.directions, self.causes = directions, causes
        self.score: Watched | None = None
        self.session, self.optimised, found = session.in_one_pass(), session, session.optimisation
        if found is not None and found.steps:
            self.score = Watched(found.score, networks)
            self.optimised = replace(session, optimisation=replace(found, score=self.score))
        self.start: Start | None = None
        self.wanted: Aims = ()
        self.history: deque[Step] = deque(maxlen=MAX_UNDONE + 1)
        self.changed = threading.Condition()
        self.optimising = threading.Lock()
        self.offered = 0  # seeds that the gallery has shown

    def choose(self, start: Start, aims: Aims = ()) -> Edited:
        """Edit another image from now on; see `preview`."""
        self.place(start)
        edited = self.preview(aims)
        if edited.final:
            self.remember(edited)
        return edited

    def place(self, start: Start) -> None:
        """Make editors for another image, once an optimisation for the one before has noticed."""
        self.start = start
        with self.optimising, self.networks:
            self.quick, self.slow = (own.make_editor([start.number]) for own in (self.session, self.optimised))

    def started(self) -> Start:
        """The image that is edited. Closed: there is none."""
        if self.start is None:
            raise Closed("this page was closed here, or left for long", hint="choose the image again")
        return self.start

    def want(self, aims: Aims) -> Start:
        """Ask for these aims, which supersedes what was asked for before. Closed: there is no image."""
        with self.changed:
            self.wanted = aims
            self.changed.notify_all()
            return self.started()

    @torch.no_grad()
    def preview(self, aims: Aims) -> Edited:
        """The edit of one pass, or the optimised one where its offset is known already. Closed: there is no image."""
        start = self.want(aims)
        with self.networks:
            latent, final = self.move_quickly(start, aims)
            return self.finish(start, aims, latent, final)

    def move_quickly(self, start: Start, aims: Aims) -> tuple[Tensor, bool]:
        """The edited latent (1, L, D), and whether it is the optimised one."""
        if not aims:
            return start.latent, True
        moves = self.to_moves(start, aims)
        if not moves:
            return self.go_along(start.latent, aims), True
        if self.score is not None and self.optimising.acquire(blocking=False):  # else it is at work for other aims
            try:
                return self.go_along(self.move(self.optimised, self.slow, start, aims, moves), aims), True
            except Superseded:  # an offset would have to be found first
                pass
            finally:
                self.optimising.release()
        bound(self.quick)
        return self.go_along(self.move(self.session, self.quick, start, aims, moves), aims), self.score is None

    @torch.no_grad()
    def optimise(self, aims: Aims, patience: float = PATIENCE) -> Edited | None:
        """The edit that `gmmedit edit` makes, once these aims have been asked for and stayed for `patience` seconds.

        None: the page has moved on. Closed: there is no image.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: self.wanted == aims, ARRIVAL):
                return None
            if self.changed.wait_for(lambda: self.wanted != aims, patience):
                return None
            start = self.started()
        found = self.optimise_at(start, aims, 1.0)
        if found is not None:
            self.remember(found)
        return found

    @torch.no_grad()
    def optimise_at(self, start: Start, aims: Aims, alpha: float) -> Edited | None:
        """The optimised edit at alpha times the strengths. None: the page has moved on."""

        def superseded() -> bool:
            return self.start is not start or self.wanted != aims

        with self.optimising, Optimising(self.score, superseded):
            if superseded():
                return None
            try:
                bound(self.slow)
                moves = self.to_moves(start, aims, alpha)
                latent = self.move(self.optimised, self.slow, start, aims, moves) if moves else start.latent
                latent = self.go_along(latent, aims, alpha)
            except Superseded:
                return None
        with self.networks:
            return self.finish(start, aims, latent, True, alpha)

    def to_moves(self, start: Start, aims: Aims, alpha: float = 1.0) -> list[Move]:
        """The aims of attributes at alpha times their strengths, for `EditSession.move`; of acts, all that follows."""
        scale, labels = torch.full((1,), alpha), start.labels
        acts = [Aim(aim.name, aim.value, None).category(self.attributes) for aim in aims if isinstance(aim, Act)]
        if acts and self.causes is not None:
            return [(c, scale) for c in predict_goals(self.session, self.causes, labels, acts, start.number)]
        return [(a.category(self.attributes), (a.strength or 0.0) * scale) for a in aims if isinstance(a, Aim)]

    def move(self, session: EditSession, editor: MixtureEditor, start: Start, aims: Aims, moves: list[Move]) -> Tensor:
        """The start's latent (1, L, D) after the moves; those of acts are one, as for `edit --do`."""
        if any(isinstance(aim, Act) for aim in aims):
            return move_together(session, editor, start.latent, [goal for goal, _ in moves], float(moves[0][1]))
        return session.move(editor, start.latent, moves)

    def go_along(self, latent: Tensor, aims: Aims, alpha: float = 1.0) -> Tensor:
        """A latent (1, L, D) moved along the discovered directions that the aims name, after all attributes."""
        amounts = {aim.number: alpha * aim.steps for aim in aims if isinstance(aim, Along)}
        return self.directions.move(latent, amounts) if amounts and self.directions else latent

    def finish(self, start: Start, aims: Aims, latent: Tensor, final: bool, alpha: float = 1.0) -> Edited:
        """Generate the image of a latent (1, L, D) edited at alpha times the strengths. The caller holds `networks`."""
        if latent is start.latent:
            return Edited(start, aims, latent, start.pixels, start.labels, final)
        pixels, labels = self.session.generate(latent)
        if start.generated is not None and start.photograph is not None:
            alone = start.generated[None], start.photograph[None]
            (pixels,), (labels,) = self.session.paste(pixels[None], *alone, [to_pasted(aims, self.attributes, alpha)])
        return Edited(start, aims, latent, pixels[0], labels[0], final)

    def remember(self, edited: Edited) -> None:
        """Append a final edit to the history, once."""
        if not self.history or not self.history[-1].asks(edited.start, edited.aims):
            self.history.append(Step(edited.start, edited.aims, edited.latent))

    @torch.no_grad()
    def undo(self) -> Edited:
        """The final edit before the one that the page asks for now; the first one stays. Closed: there is no image."""
        self.started()
        if len(self.history) > 1 and self.history[-1].asks(self.start, self.wanted):
            self.history.pop()
        last = self.history[-1]
        if last.start is not self.start:
            self.place(last.start)
        self.want(last.aims)
        with self.networks:
            return self.finish(last.start, last.aims, last.latent, True)

    def close(self) -> None:
        """End what is being optimised, and delete the files."""
        with self.changed:
            self.start = None
            self.changed.notify_all()
        self.history.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def bound(editor: MixtureEditor) -> None:
    """Forget the offsets that an editor knows, when there are many."""
    if len(editor.known) > MAX_KNOWN:
        editor.known.clear()
