"""An edit request with all that it needs: what it moves, what moves it, and what is recorded of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import EditSettings
from gmmedit.editing import do
from gmmedit.editing.directions import Mover, move_all, open_mover
from gmmedit.editing.identity import IdentityScale, compare_identity, open_identity_scale
from gmmedit.editing.inverted import describe_unlike, find_tuned_source
from gmmedit.editing.own_causes import OwnCauses, find_own_causes
from gmmedit.editing.pasting import amount_of
from gmmedit.editing.request import Attributes, Request
from gmmedit.editing.rows import render_rows
from gmmedit.editing.selection import select_latents
from gmmedit.editing.session import EditSession, Move, open_session
from gmmedit.editing.targets import Aims, find_strengths
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.run.folder import RunFolder


@dataclass(frozen=True)
class EditJob:
    """What `edit` computes, chunk by chunk of N images.

    Attributes:
        aims: category and strength of each aim of the request.
        index: (N,) rows or seeds.
        images: the number of each image, which seeds its draws.
        latent: (N, L, D).
        scale: of the identity; None: without a feature network.
        photographs: uint8 (N, H, W, C), into which edits are pasted; None: there are none.
        mover: along discovered directions; None: the request has none.
        causes: of do-edits; None: of others.
    """

    request: Request
    session: EditSession
    aims: Aims
    index: np.ndarray
    images: list[int]
    latent: Tensor
    scale: IdentityScale | None
    photographs: np.ndarray | None
    mover: Mover | None
    causes: do.Causes | OwnCauses | None

    def facts(self) -> dict[str, object]:
        """What edits.h5 tells beside its specification."""
        told: dict[str, object] = {"notes": self.session.notes, "contrast": self.session.contrast}
        return told | ({"pair_identity": self.scale.pairs} if self.scale else {})

    def compute_rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The datasets of edits.h5 for the images from `start` to `stop`."""
        rows, latent = slice(start, stop), self.latent[start:stop]
        own = None if self.photographs is None else self.photographs[rows]
        if self.causes:
            found = self.causes.edit_rows(self.session, self.images[rows], self.request, latent, own)
        else:
            found = self.edit_rows(self.session.make_editor(self.images[rows]), latent, own)
        if self.scale:
            pair = found["images_before"], found["images_after"]
            found["identity"] = compare_identity(self.scale.embedder, *pair, self.session.execution.device)
        return found | {"index": self.index[rows]}

    def edit_rows(self, editor: MixtureEditor, latent: Tensor, photographs: np.ndarray | None) -> dict[str, np.ndarray]:
        """Latents, labels and images of latents (N, L, D) before and after each strength."""
        session, mover = self.session, self.mover
        before = session.generate(latent)
        columns = plan_columns(session, editor, self.request, self.aims, latent)
        moved = [move_all(session, editor, latent, moves, scale, mover) for scale, moves in columns]
        pasted = [(amount_of(moves, scale, along=mover is not None), moves) for scale, moves in columns]
        return render_rows(session, latent, before, moved, [scale for scale, _ in columns], pasted, photographs)

    def specify(self, mixture: Artifact) -> RunSpec:
        """The specification of edits.h5."""
        spec = RunSpec(
            kind="edits",
            n=len(self.latent),
            seed=self.session.settings.seed,
            config=self.record(),
            sizes=self.sizes(mixture),
            parents={"mixture": mixture.fingerprint} | ({"directions": self.mover.fingerprint} if self.mover else {}),
            generator=mixture.spec.generator,
            classifier=mixture.spec.classifier,
            attributes=mixture.spec.attributes,
        )
        return self.causes.mark(spec, self.request) if self.causes else spec

    def record(self) -> dict[str, object]:
        """The request and the settings, as edits.h5 records them."""
        request, settings = self.request, self.session.settings
        config = settings.model_dump(exclude_none=True, exclude={"paste"}) | {
            "attr": [[str(aim), aim.strength] for aim in request.aims],
            "each": request.each,
            "target": request.target,
            "headings": request.headings(),
            "alphas": list(request.alphas),
            "source": request.source,
            "index": self.index.tolist(),
            "latents": artifacts.tensors_fingerprint({"latent": self.latent.numpy()}),
        }
        if self.photographs is not None:
            config["photographs"] = artifacts.tensors_fingerprint({"images": self.photographs})
        if settings.gan:
            config["gan_fingerprint"] = self.session.renderer.generator.fingerprint
        if self.mover:
            config["direction"] = [list(pair) for pair in self.mover.amounts]
        if self.scale:
            config |= {"features": self.scale.name, "embedder": self.scale.embedder.fingerprint}
        if settings.draw == "sample":
            config["images"] = self.images  # which seed their draws
        return config

    def sizes(self, mixture: Artifact) -> dict[str, artifacts.Size]:
        """The dims of edits.h5."""
        channels, height, width = self.session.renderer.generator.image_shape
        return {
            "S": len(self.request.alphas), "L": self.latent.shape[1], "D": self.latent.shape[2],
            "K": sum(len(values) for _, values in mixture.attributes),
            "H": height, "W": width, "C": channels, **({"E": 1} if self.scale else {}),
        }  # fmt: skip


def open_job(run_folder: RunFolder, settings: EditSettings, request: Request) -> EditJob:
    """The request with all that it needs of a run; stays valid after the run folder is closed.

    InputError: an artifact or network is missing or has changed; the request names unknown attributes, rows or files.
    """
    mixture, samples = run_folder.artifact("mixture"), run_folder.samples
    categories = [aim.category(mixture.attributes) for aim in request.aims]
    strengths = [1.0 if aim.strength is None else aim.strength for aim in request.aims]
    session = open_session(run_folder, choose_generator(settings, request, run_folder))
    index, latent = select_latents(request, run_folder, session)
    photographs = None
    if request.source == "inverted":
        inversions = run_folder.artifact("inversions")
        session.notes.extend(describe_unlike(inversions, index))
        photographs = inversions["images"][index] if session.pastes else None
    causes = open_causes(session, request, run_folder, mixture.attributes)
    if causes:
        session.notes.extend(causes.notes(request))
    first = samples.spec.seed if request.source == "index" else 0  # row i of samples.h5 has the seed first + i
    return EditJob(
        request,
        session,
        aims=list(zip(categories, strengths, strict=True)),
        index=index,
        images=[first + number for number in index.tolist()],
        latent=latent,
        scale=open_identity_scale(run_folder, settings.features),
        photographs=photographs,
        mover=open_mover(run_folder, request.directions, session.space),
        causes=causes,
    )


def open_causes(
    session: EditSession, request: Request, run_folder: RunFolder, attributes: Attributes
) -> do.Causes | OwnCauses | None:
    """What the acts of a do-edit lead to: by the generator's own causes where it has them, else by the run's graph.

    None: it is no do-edit. InputError: the graph is missing, or of other attributes.
    """
    if not request.do:
        return None
    return find_own_causes(session, request, attributes) or do.open_causes(run_folder, attributes)


def choose_generator(settings: EditSettings, request: Request, run_folder: RunFolder) -> EditSettings:
    """The settings with the generator's name as it is recorded: of --gan, else the one tuned around inversions."""
    gan = settings.gan
    if gan is None and request.source == "inverted":
        gan = find_tuned_source(run_folder)
    return settings.model_copy(update={"gan": artifacts.network_source(gan)}) if gan else settings


def plan_columns(
    session: EditSession, editor: MixtureEditor, request: Request, aims: Aims, latent: Tensor
) -> list[tuple[Tensor, list[Move]]]:
    """The columns of the result: a strength for every image (N,), and the moves at that strength."""
    n = len(latent)
    if request.each:
        alone = [(torch.full((n,), strength), category) for category, strength in aims]
        return [(strength, [(category, strength)]) for strength, category in alone]
    scales = [torch.full((n,), alpha) for alpha in request.alphas]
    if request.target is not None:
        scales = [find_strengths(session, editor, aims, latent, request.target)]
    return [(scale, [(category, strength * scale) for category, strength in aims]) for scale in scales]
