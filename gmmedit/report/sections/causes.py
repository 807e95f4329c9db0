"""The section of graph.h5: which attribute causes which."""

from gmmedit.pictures.graphs import draw_svg
from gmmedit.pictures.markup import Html, element, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.report.graphs import describe_graph, graph_tables
from gmmedit.run.folder import RunFolder

ABOUT = (
    "Arrows are causes that data or the user determine; along dashed edges nothing is known to follow. Edits with --do "
    "change an attribute and what follows from it along arrows."
)


def causes_section(run: RunFolder) -> list[Section]:
    """The graph as a figure and tables; none if the run has no graph."""
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
    return [Section("causes", "Causes", [paragraph(ABOUT), element("figure", svg), *tables, *notes])]
