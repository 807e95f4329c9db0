"""An HTML page about a run: a verdict, settings, images, scores, and how to reproduce it.

Reads every artifact of the run; writes strips.h5 if it is missing or out of date, and report.html.
"""

from pathlib import Path

from gmmedit import __version__
from gmmedit.config import EditSettings
from gmmedit.editors import catalogue as editors
from gmmedit.errors import InputError, writing
from gmmedit.pictures.page import render_document
from gmmedit.report.examples import Example, examples_of, leading_editor
from gmmedit.report.sections.causes import causes_section
from gmmedit.report.sections.directions import directions_section
from gmmedit.report.sections.edits import edits_section
from gmmedit.report.sections.extremes import extremes_section
from gmmedit.report.sections.fits import fits_section, labels_section
from gmmedit.report.sections.run import reproduction_section, run_section
from gmmedit.report.sections.scores import comparison_section, evaluation_section
from gmmedit.report.sections.verdict import find_edits, verdict_opening, verdict_section
from gmmedit.report.strips import Strips, make_strips
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import write_file

TITLE = "gmmedit report"  # begins the title of each page, by which a report is known


def run(folder: Path, execution: Execution, out: Path | None = None) -> tuple[Path, list[str]]:
    """Write the page to `out`, by default folder/report.html; its path, and a line for each part that is missing.

    InputError: the folder holds no artifact, or `out` cannot be written or is a file other than a report.
    """
    prepare(execution)
    path = out or folder / "report.html"
    refuse_foreign(path)
    with RunFolder(folder, execution) as run_folder:
        if not run_folder.find_all():
            raise InputError(f"{folder} holds no artifact to report on", hint="run gmmedit sample first")
        examples, settings = select_examples(run_folder)
        strips = load_strips(run_folder, examples, settings)
        sections = [
            verdict_section(run_folder, strips, find_edits(run_folder)),
            edits_section(run_folder, strips),
            extremes_section(run_folder, strips, examples),
            evaluation_section(run_folder),
            comparison_section(run_folder),
            labels_section(run_folder),
            fits_section(run_folder),
            *causes_section(run_folder),
            *directions_section(run_folder),
            run_section(run_folder),
            reproduction_section(run_folder),
        ]
        opening = verdict_opening(run_folder)
        page = render_document(title_of(run_folder), opening, sections, f"Made by gmmedit {__version__}.")
        missing = list((run_folder.missing | run_folder.notes).values())
    write_page(path, page)
    return path, missing


def title_of(run_folder: RunFolder) -> str:
    """The title of the page, with the name of the generator."""
    records = [artifact.spec.generator for artifact in run_folder.opened.values()]
    return next((f"{TITLE}: {record['name']}" for record in records if record), TITLE)


def select_examples(run_folder: RunFolder) -> tuple[list[Example], EditSettings]:
    """The best and worst edits of the evaluation, and the settings of their editor; none and the defaults of `edit`
    if there is no evaluation, or its first editor is not one of `edit`."""
    default = EditSettings()
    evaluation = run_folder.opened.get("evaluation")
    same = editors.entry(leading_editor(evaluation)).edit if evaluation else None
    if evaluation is None or same is None:
        return [], default
    return examples_of(evaluation), default.model_copy(update={"polish": evaluation.spec.config["polish"], **same})


def load_strips(run_folder: RunFolder, examples: list[Example], settings: EditSettings) -> Strips | None:
    """The strips of the run; None, and a line in `missing`, if they cannot be made."""
    if not {"samples", "labels", "mixture"} <= run_folder.opened.keys():
        run_folder.missing["strips"] = "no images: they need samples.h5, labels.h5 and mixture.h5"
        return None
    try:
        return Strips.read(make_strips(run_folder, examples, settings))
    except InputError as error:
        run_folder.note_missing("strips", error, "no images: ")
        return None


def refuse_foreign(path: Path) -> None:
    """InputError: there is a file that is no earlier report; an empty one is no loss."""
    if not path.exists() or path.is_dir():  # `writing` reports a folder
        return
    start = b"a pipe or a device"
    if path.is_file():
        with writing(path), path.open("rb") as file:
            start = file.read(4096)
    if start and f"<title>{TITLE}".encode() not in start:
        raise InputError(f"{path} exists and is not a report of gmmedit", hint="remove it, or choose another --out")


def write_page(path: Path, page: str) -> None:
    """Write the page. InputError: the folder cannot be written. RunError: the disk is full."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, page.encode(errors="backslashreplace"))
