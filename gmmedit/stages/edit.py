"""Step 5 (claim 6): draw control vectors from a component, interpolate towards them, generate images.

Reads samples.h5, labels.h5 and mixture.h5, generator and classifier; writes edits.h5, a PNG per image and a contact
sheet. Resumes by chunks of images.
"""

from pathlib import Path

import numpy as np
import torch

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.config import EditSettings
from gmmedit.editing.do import to_do
from gmmedit.editing.job import EditJob, open_job
from gmmedit.editing.outputs import publish_edits
from gmmedit.editing.request import Request
from gmmedit.pictures.video import check_video
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare

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
        job = open_job(run_folder, settings, request)
        spec = job.specify(run_folder.artifact("mixture"))
    path = (out or folder) / "edits.h5"
    publish_edits(path, spec, lambda: write_edits(path, spec, job), request.title(), out is not None, video)
    return path


def write_edits(path: Path, spec: RunSpec, job: EditJob) -> None:
    """Write edits.h5 chunk by chunk, from the partial file if there is one."""
    session, execution = job.session, job.session.execution
    once = {"alphas": np.array(job.request.alphas)}
    with artifacts.create_rows(
        path, spec, once, session.chunk, execution.restart, attrs=job.facts(), held=True, force=execution.force
    ) as writer:
        for start, stop in writer.pending():
            execution.stop.check()
            writer.write(start, stop, job.compute_rows(start, stop))
            execution.tick(stop, len(job.latent), "edits")
        writer.finish()
