"""Edits along discovered directions in a run without labels: what `gmmedit edit --direction` does without mixture.h5.

Reads samples.h5, directions.h5 and the generator; writes edits.h5 (without labels), a PNG per image and a contact
sheet. Resumes image by image.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.editing.directions import Mover, open_mover
from gmmedit.editing.outputs import publish_edits
from gmmedit.editing.request import Request
from gmmedit.editing.selection import read_rows
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import to_bytes
from gmmedit.pictures.video import check_video
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare


@torch.no_grad()
def run(
    folder: Path, request: Request, execution: Execution, out: Path | None = None, video: Path | None = None
) -> Path:
    """Write edits.h5 and images into `out`, by default the run folder; an earlier edit there is replaced.

    InputError: as `edit`; or the request needs a mixture: attributes, photographs, files of latents.
    """
    prepare(execution)
    check_request(request, folder)
    if video:
        check_video(video, frames=len(request.alphas))
    path = (out or folder) / "edits.h5"
    with RunFolder(folder, execution) as run_folder:
        mover = open_mover(run_folder, request.directions, run_folder.artifact("directions").spec.config["space"])
        assert mover is not None  # the request has directions
        index, latent = select_latents(request, run_folder, mover)
        spec = run_spec(run_folder, request, mover, index, latent)

        def write() -> None:
            write_edits(path, spec, run_folder, request, mover, index, latent)

        publish_edits(path, spec, write, request.title(), out is not None, video)
    return path


def check_request(request: Request, folder: Path) -> None:
    """InputError: the request needs what only a run with mixture.h5 has."""
    if request.aims or request.source not in ("index", "seeds"):
        message = f"{folder} has no mixture.h5, which --attr, --latents and --inverted need"
        raise InputError(message, hint="--index or --seeds, or run gmmedit label, fit-single and fit-mixture first")


def select_latents(request: Request, run_folder: RunFolder, mover: Mover) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and latents (N, L, D). InputError: a row is not in samples.h5."""
    renderer, space = run_folder.renderer, mover.directions.space
    if request.source == "index":
        index, latent = read_rows(run_folder.samples, request.rows, space)
    else:
        index, latent = np.array(request.rows, dtype=np.int64), renderer.draw_latents(request.rows, space)
    return index, renderer.to_layers(latent, space).contiguous()


def write_edits(
    path: Path, spec: RunSpec, run_folder: RunFolder, request: Request, mover: Mover, index: np.ndarray, latent: Tensor
) -> None:
    """Write edits.h5 image by image, from the partial file if there is one."""
    execution, space = run_folder.execution, mover.directions.space
    alphas, facts = {"alphas": np.array(request.alphas)}, {"notes": ["no labels: this run has no mixture.h5"]}
    with artifacts.create_rows(
        path, spec, alphas, 1, execution.restart, attrs=facts, held=True, force=execution.force
    ) as writer:
        for start, stop in writer.pending():
            execution.stop.check()
            own = latent[start:stop]
            moved = [mover.move(own, torch.full((len(own),), alpha)) for alpha in request.alphas]
            images = [to_bytes(run_folder.renderer.generate(latents, space)) for latents in (own, *moved)]
            writer.write(start, stop, {
                "index": index[start:stop], "latent": own.numpy(), "latents": torch.stack(moved).numpy(),
                "strengths": np.tile(np.array(request.alphas, np.float32)[:, None], (1, len(own))),
                "images_before": images[0], "images_after": np.stack(images[1:]),
            })  # fmt: skip
            execution.tick(stop, len(latent), "edits")
        writer.finish()


def run_spec(run_folder: RunFolder, request: Request, mover: Mover, index: np.ndarray, latent: Tensor) -> RunSpec:
    """The specification of edits.h5."""
    channels, height, width = run_folder.image_shape
    samples = run_folder.samples
    config = {
        "attr": [], "direction": [list(pair) for pair in mover.amounts], "each": False, "target": None,
        "headings": request.headings(), "alphas": list(request.alphas), "source": request.source,
        "index": index.tolist(), "latents": artifacts.tensors_fingerprint({"latent": latent.numpy()}),
    }  # fmt: skip
    return RunSpec(
        kind="edits",
        n=len(latent),
        config=config,
        sizes={
            "S": len(request.alphas), "L": latent.shape[1], "D": latent.shape[2], "H": height, "W": width,
            "C": channels,
        },
        parents={"samples": samples.fingerprint, "directions": mover.fingerprint},
        generator=samples.spec.generator,
    )  # fmt: skip
