"""One page about a run, for people: what was done, what it looks like, how good it is, how to do it again.

Reads every artifact that is there; makes strips.h5 where it is missing or stale; writes report.html.
"""

import os
from contextlib import ExitStack
from pathlib import Path

from gmmedit import __version__, artifacts
from gmmedit.config import EditSettings
from gmmedit.errors import InputError, writing
from gmmedit.pictures.markup import items
from gmmedit.pictures.page import document
from gmmedit.stages.shared.common import Execution, prepare
from gmmedit.stages.shared.gathering import Gathered, gathered, one_line
from gmmedit.stages.shared.picking import Pick, leading_editor, picks_of
from gmmedit.stages.shared.sections.edits import edits_section, extremes_section
from gmmedit.stages.shared.sections.fits import fits_section, labels_section
from gmmedit.stages.shared.sections.run import reproduction, run_section
from gmmedit.stages.shared.sections.scores import at_a_glance, comparison_section, evaluation_section
from gmmedit.stages.shared.strips import make_strips


def run(folder: Path, execution: Execution, out: Path | None = None) -> tuple[Path, list[str]]:
    """Write the page to `out`, by default folder/report.html; its path, and a line for each thing that it lacks.

    InputError: the folder holds no artifact, or `out` cannot be written.
    """
    prepare(execution)
    path = out or folder / "report.html"
    with gathered(folder) as it, ExitStack() as stack:
        picks, settings = edits_shown(it)
        strips = None
        if {"samples", "labels", "mixture"} <= it.there.keys():
            try:
                made = make_strips(
                    it.there["samples"], it.there["labels"], it.there["mixture"], picks, settings, execution
                )
                strips = stack.enter_context(artifacts.open(made, "strips"))
            except InputError as error:
                it.missing["strips"] = f"no pictures: {one_line(error, folder)}"
        sections = [
            edits_section(it, strips), extremes_section(it, strips, picks), evaluation_section(it),
            comparison_section(it), labels_section(it), fits_section(it), run_section(it), reproduction(it),
        ]  # fmt: skip
        page = document("gmmedit report", [items(at_a_glance(it))], sections, f"Made by gmmedit {__version__}.")
        lacks = list(it.missing.values())
    write(path, page)
    return path, lacks


def edits_shown(it: Gathered) -> tuple[list[Pick], EditSettings]:
    """Picked edits, and the settings that they were made with: those of `edit`, or of the evaluated editor."""
    default = EditSettings()
    if "evaluation" not in it.there or not leading_editor(it.there["evaluation"]).startswith("mixture"):
        return [], default
    evaluation = it.there["evaluation"]
    polished = leading_editor(evaluation) == "mixture-polished"
    polish = evaluation.question.config["polish"] if polished else 0
    return picks_of(evaluation), default.model_copy(update={"polish": polish})


def write(path: Path, page: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, path)
