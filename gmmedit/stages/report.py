"""One page about a run, for people: what was done, what it looks like, how good it is, how to do it again.

Reads every artifact that is there; makes strips.h5 where it is missing or stale; writes report.html.
"""

from pathlib import Path

from gmmedit import __version__
from gmmedit.config import EditSettings
from gmmedit.editors import catalogue as editors
from gmmedit.errors import InputError, writing
from gmmedit.pictures.markup import items
from gmmedit.pictures.page import document
from gmmedit.report.examples import Example, examples_of, leading_editor
from gmmedit.report.sections.edits import edits_section
from gmmedit.report.sections.extremes import extremes_section
from gmmedit.report.sections.fits import fits_section, labels_section
from gmmedit.report.sections.run import reproduction, run_section
from gmmedit.report.sections.scores import at_a_glance, comparison_section, evaluation_section
from gmmedit.report.strips import Strips, make_strips
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import write_file


def run(folder: Path, execution: Execution, out: Path | None = None) -> tuple[Path, list[str]]:
    """Write the page to `out`, by default folder/report.html; its path, and a line for each thing that it lacks.

    InputError: the folder holds no artifact, or `out` cannot be written.
    """
    prepare(execution)
    path = out or folder / "report.html"
    with RunFolder(folder, execution) as it:
        if not it.find_all():
            raise InputError(f"{folder} holds no artifact to report on", hint="gmmedit sample, then the steps after it")
        examples, settings = edits_shown(it)
        strips = strips_of(it, examples, settings)
        sections = [
            edits_section(it, strips), extremes_section(it, strips, examples), evaluation_section(it),
            comparison_section(it), labels_section(it), fits_section(it), run_section(it), reproduction(it),
        ]  # fmt: skip
        page = document(title(it), [items(at_a_glance(it))], sections, f"Made by gmmedit {__version__}.")
        lacks = list(it.missing.values())
    write(path, page)
    return path, lacks


def title(it: RunFolder) -> str:
    """Which generator the report is about."""
    records = [artifact.spec.generator for artifact in it.there.values()]
    return next((f"gmmedit report: {record['name']}" for record in records if record), "gmmedit report")


def edits_shown(it: RunFolder) -> tuple[list[Example], EditSettings]:
    """Picked edits, and the settings that they were made with: those of `edit`, or of the evaluated editor."""
    default = EditSettings()
    evaluation = it.there.get("evaluation")
    same = editors.entry(leading_editor(evaluation)).edit if evaluation else None
    if evaluation is None or same is None:
        return [], default
    return examples_of(evaluation), default.model_copy(update={"polish": evaluation.spec.config["polish"], **same})


def strips_of(it: RunFolder, examples: list[Example], settings: EditSettings) -> Strips | None:
    """The strips of the run; None, and a line about it, where they cannot be made."""
    if not {"samples", "labels", "mixture"} <= it.there.keys():
        it.missing["strips"] = "no pictures: they are made from samples.h5, labels.h5 and mixture.h5"
        return None
    try:
        return Strips.read(make_strips(it, examples, settings))
    except InputError as error:
        it.missing["strips"] = f"no pictures: {it.one_line(error)}"
        return None


def write(path: Path, page: str) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, page.encode(errors="backslashreplace"))
