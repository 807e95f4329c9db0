"""The section of graph.h5 and do_evaluation.h5: which attribute causes which, and how do-edits do."""

from gmmedit.evaluation.tables import score_tables
from gmmedit.pictures.graphs import draw_svg
from gmmedit.pictures.markup import Html, details, element, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.report.graphs import describe_graph, graph_tables
from gmmedit.run.folder import RunFolder

ABOUT = (
    "Arrows are causes that data or the user determine; along dashed edges nothing is known to follow. Edits with --do "
    "change an attribute and what follows from it along arrows."
)


def causes_section(run: RunFolder) -> list[Section]:
    """The graph as a figure and tables, and the scores of do-edits; none if the run has no graph."""
    if not run.file("graph").is_file():
        return []
    graph = run.find("graph")
    if graph is None:  # its line is in `missing`
        return []
    report = describe_graph(graph)
    names = [name for name, _ in graph.attributes]
    svg = Html(draw_svg(names, graph["marks"], graph["frequency"]))
    tables = [table(part["columns"], part["rows"], part["title"]) for part in graph_tables(report)]
    notes = [note(line) for line in report["lines"]]
    return [Section("causes", "Causes", [paragraph(ABOUT), element("figure", svg), *tables, *notes, *do_scores(run)])]


def do_scores(run: RunFolder) -> list[Html]:
    """The scores of do-edits by editor and by category; none if they were not evaluated."""
    scored = run.find("do_evaluation") if run.file("do_evaluation").is_file() else None
    if scored is None:
        return []
    report = score_tables(scored.path)
    notes = [note(text) for text in report["notes"]]
    shown = [table(part["columns"], part["rows"], part["title"]) for part in [*report["tables"], *report["categories"]]]
    return [details("Scores of do-edits: what follows from an edit may change with it", *notes, *shown)]
