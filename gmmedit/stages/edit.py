"""Step 5 (claim 6): draw control vectors from a component, interpolate towards them, generate images.

Reads samples.h5, labels.h5 and mixture.h5, generator and classifier; writes edits.h5, a PNG per image and a contact
sheet. Resumes by chunks of images.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import EditSettings
from gmmedit.editing import do
from gmmedit.editing.directions import Mover, move_all, open_mover
from gmmedit.editing.do import to_do
from gmmedit.editing.identity import IdentityScale, compare_identity, open_identity_scale
from gmmedit.editing.inverted import describe_unlike, find_tuned_source, read_inverted
from gmmedit.editing.outputs import make_image_folder, refuse_foreign, write_images, write_video
from gmmedit.editing.pasting import amount_of
from gmmedit.editing.request import Request
from gmmedit.editing.rows import render_rows
from gmmedit.editing.session import EditSession, Move, open_session
from gmmedit.editing.targets import Aims, find_strengths
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError
from gmmedit.pictures.video import check_video
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import lock

__all__ = ["Request", "run", "to_do"]


def attributes_of(folder: Path) -> list[tuple[str, list[str]]]:
    """Names and values of the attributes in mixture.h5. InputError: it is missing or unreadable."""
    with artifacts.open(folder / "mixture.h5", "mixture") as mixture:
        return mixture.attributes


@torch.no_grad()
def run(
    folder: Path, settings: EditSettings, request: Request, execution: Execution,
    out: Path | None = None, video: Path | None = None,
) -> Path:  # fmt: skip
    """Write edits.h5 and images into `out`, by default the run folder; an earlier edit there is replaced.

    video: an MP4 file to write as well, a frame per strength. InputError: an artifact or network is missing or has
    changed; the request names unknown attributes, rows or files; `out` has images that no edit wrote; PyAV is missing,
    or `video` is a file that no edit wrote, or the request has one strength only.
    RunError: another process edits into the same folder.
    """
    prepare(execution)
    if video:
        check_video(video, frames=1 if request.each else len(request.alphas))
    with RunFolder(folder, execution) as run_folder:
        mixture, samples = run_folder.artifact("mixture"), run_folder.samples
        categories = [aim.category(mixture.attributes) for aim in request.aims]
        settings = use_tuned(settings, request, run_folder)
        if settings.gan:
            settings = settings.model_copy(update={"gan": artifacts.network_source(settings.gan)})
        session = open_session(run_folder, settings)
        mover = open_mover(run_folder, request.directions, session.space)
        scale = open_identity_scale(run_folder, settings.features)
        index, latent = select_latents(request, run_folder, session)
        photographs = None
        if request.source == "inverted":
            inversions = run_folder.artifact("inversions")
            session.notes.extend(describe_unlike(inversions, index))
            photographs = inversions["images"][index] if session.pastes else None
        first = samples.spec.seed if request.source == "index" else 0  # row i of samples.h5 has the seed first + i
        images = [first + number for number in index.tolist()]
        spec = run_spec(mixture, latent, index, images, session, request, scale, photographs, mover)
        causes = do.open_causes(run_folder, mixture.attributes) if request.do else None
        if causes:
            spec = causes.mark(spec, request)
            session.notes.extend(causes.notes(request))
    path = (out or folder) / "edits.h5"
    strengths = [1.0 if aim.strength is None else aim.strength for aim in request.aims]
    aims = list(zip(categories, strengths, strict=True))
    with lock(path):  # two edits into one folder would mix their images
        if out:
            refuse_foreign(path)
        make_image_folder(path)  # fails before the work if it cannot be created
        if not artifacts.is_finished(path, spec, force=True):
            write_edits(path, spec, session, request, aims, index, images, latent, scale, photographs, mover, causes)
        write_images(path, request.title())
        if video:
            write_video(path, video)
    return path


def write_edits(
    path: Path, spec: RunSpec, session: EditSession, request: Request, aims: Aims,
    index: np.ndarray, images: list[int], latent: Tensor, scale: IdentityScale | None, photographs: np.ndarray | None,
    mover: Mover | None, causes: do.Causes | None,
) -> None:  # fmt: skip
    """Write edits.h5 chunk by chunk, from the partial file if there is one."""
    alphas, chunk = {"alphas": np.array(request.alphas)}, session.chunk
    facts = {"notes": session.notes, "contrast": session.contrast} | ({"pair_identity": scale.pairs} if scale else {})
    execution = session.execution
    restart = execution.restart
    with artifacts.create_rows(
        path, spec, alphas, chunk, restart, attrs=facts, held=True, force=execution.force
    ) as writer:
        for start, stop in writer.pending():
            execution.stop.check()
            own = None if photographs is None else photographs[start:stop]
            if causes:
                rows = do.edit_rows(session, causes, images[start:stop], request, latent[start:stop], own)
            else:
                editor = session.make_editor(images[start:stop])
                rows = edit_rows(session, editor, request, aims, latent[start:stop], own, mover)
            if scale:
                images_of = rows["images_before"], rows["images_after"]
                rows["identity"] = compare_identity(scale.embedder, *images_of, execution.device)
            writer.write(start, stop, rows | {"index": index[start:stop]})
            execution.tick(stop, len(latent), "edits")
        writer.finish()


def edit_rows(
    session: EditSession, editor: MixtureEditor, request: Request, aims: Aims, latent: Tensor,
    photographs: np.ndarray | None, mover: Mover | None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The datasets of one chunk of latents (N, L, D): latents, labels and images before and after each strength.

    photographs: uint8 (N, H, W, C), into which the edits are pasted; None: there are none.
    """
    before = session.generate(latent)
    columns = plan_columns(session, editor, request, aims, latent)
    moved = [move_all(session, editor, latent, moves, scale, mover) for scale, moves in columns]
    pasted = [(amount_of(moves, scale, along=mover is not None), moves) for scale, moves in columns]
    return render_rows(session, latent, before, moved, [scale for scale, _ in columns], pasted, photographs)


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


def use_tuned(settings: EditSettings, request: Request, run_folder: RunFolder) -> EditSettings:
    """The settings with the generator that was tuned around the inversions, where they are edited and none is named."""
    if request.source != "inverted" or settings.gan:
        return settings
    return settings.model_copy(update={"gan": find_tuned_source(run_folder)})


def select_latents(request: Request, run_folder: RunFolder, session: EditSession) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and latents (N, L, D) of the images to edit."""
    if request.source == "inverted":
        index, latent = read_inverted(run_folder.artifact("inversions"), request.rows, session.space)
    else:
        index, latent = read_latents_of(request, run_folder.samples, session)
    return index, session.to_layers(latent)


def read_latents_of(request: Request, samples: Artifact, session: EditSession) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and their latents, (N, D) or W+ (N, L, D).

    InputError: a row is not in samples.h5; a file of latents cannot be used.
    """
    if request.latents is not None:
        latent = session.read_latents(request.latents, request.latents_space, samples.path.parent)
        return np.arange(len(latent)), latent
    index = np.array(request.rows, dtype=np.int64)
    if request.source == "index":
        if index.max() >= samples.spec.n:
            raise InputError(
                f"row {index.max()} is not in {samples.path}, which has {samples.spec.n} rows",
                hint="--seeds edits latents of other seeds",
            )
        return index, torch.from_numpy(samples[session.space][index])
    return index, session.draw_latents(request.rows)


def run_spec(
    mixture: Artifact, latent: Tensor, index: np.ndarray, images: list[int], session: EditSession, request: Request,
    scale: IdentityScale | None, photographs: np.ndarray | None, mover: Mover | None,
) -> RunSpec:  # fmt: skip
    """The specification of edits.h5."""
    channels, height, width = session.renderer.generator.image_shape
    config = session.settings.model_dump(exclude_none=True, exclude={"paste"}) | {
        "attr": [[str(aim), aim.strength] for aim in request.aims],
        "each": request.each,
        "target": request.target,
        "headings": request.headings(),
        "alphas": list(request.alphas),
        "source": request.source,
        "index": index.tolist(),
        "latents": artifacts.tensors_fingerprint({"latent": latent.numpy()}),
    }
    if photographs is not None:
        config["photographs"] = artifacts.tensors_fingerprint({"images": photographs})
    if session.settings.gan:
        config["gan_fingerprint"] = session.renderer.generator.fingerprint
    if mover:
        config["direction"] = [list(pair) for pair in mover.amounts]
    if scale:
        config |= {"features": scale.name, "embedder": scale.embedder.fingerprint}
    if session.settings.draw == "sample":
        config["images"] = images  # which seed their draws
    return RunSpec(
        kind="edits",
        n=len(latent),
        seed=session.settings.seed,
        config=config,
        sizes={
            "S": len(request.alphas), "L": latent.shape[1], "D": latent.shape[2],
            "K": sum(len(values) for _, values in mixture.attributes),
            "H": height, "W": width, "C": channels, **({"E": 1} if scale else {}),
        },
        parents={"mixture": mixture.fingerprint} | ({"directions": mover.fingerprint} if mover else {}),
        generator=mixture.spec.generator,
        classifier=mixture.spec.classifier,
        attributes=mixture.spec.attributes,
    )  # fmt: skip
