"""The first screen of the page: the verdict, an unselected sheet of edits, and a row of figures for each category."""

import numpy as np

from gmmedit.artifacts import Artifact
from gmmedit.editing.request import edited_columns
from gmmedit.editors import catalogue as editors
from gmmedit.errors import InputError
from gmmedit.evaluation.results import SAMPLES, category_names
from gmmedit.evaluation.tables import REFERENCE, SHOWN_AT_ONE, format_cells, shown_metrics
from gmmedit.pictures.markup import Html, details, element, embed_images, items, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.report.examples import leading_editor
from gmmedit.report.sections.edits import captions_below
from gmmedit.report.sections.scores import index_figures, summarise
from gmmedit.report.strips import Strips, shrink_images
from gmmedit.report.summaries import edit_report
from gmmedit.report.verdict import reach_verdict
from gmmedit.run.folder import RunFolder

ROWS, COLUMNS = 4, 12  # of the sheet, at most
PAIRS = 3  # samples of each category on the sheet of strips
ARRIVED = ("flips@1", "label_flips@1")  # columns of the table before the agreement of the classifiers
OTHERS = ("kept@1", "identity@1", "precision@1", "picture@1")  # and after it
ROWS_OF = {
    "index": "rows {} of samples.h5",
    "seeds": "seeds {}",
    "latents": "rows {} of the latents",
    "inverted": "photographs {} of inversions.h5",
}
MEANINGS = [
    "flips, label flips: share of the edits that reach the value, by the evaluation classifier and by the labelling "
    "one; agreement: share of the unedited samples to which the two give the same value",
    "kept: share of the other labels that stay",
    "identity: cosine of features with the unedited image; last row: of two samples",
    "precision: share of the edits among samples of the value, in brackets of such samples among others",
    "image change: in units of the difference of two samples",
]


def verdict_opening(run: RunFolder) -> list[Html]:
    """The verdict in one sentence and what limits it; without an evaluation, how to get one."""
    scored = run.opened.get("evaluation")
    if scored is None:
        return [paragraph(f"How well edits work is not measured: {run.missing['evaluation']}.", class_="verdict")]
    editor, labels, judge = leading_editor(scored), run.opened.get("labels"), scored.spec.classifier or {}
    same = labels is not None and (labels.spec.classifier or {}).get("fingerprint") == judge.get("fingerprint")
    same = same and "reader" not in scored.spec.config  # a regression learned a table's labels
    verdict = reach_verdict(index_figures(scored), editor, category_names(scored), same)
    return [paragraph(verdict.sentence, class_="verdict"), items([*verdict.limits, *name_editor(editor)])]


def name_editor(editor: str) -> list[str]:
    """A line that says whose figures these are, if not those of `gmmedit edit` without options."""
    settings = editors.entry(editor).edit
    if settings == {}:
        return []
    options = "".join(f" --{name} {value}" for name, value in (settings or {}).items())
    how = f"gmmedit edit{options}" if options else "not what gmmedit edit does"
    return [f"The figures are those of {editor}: {how}."]


def find_edits(run: RunFolder) -> Artifact | None:
    """The run's edits.h5; None if there is none, with a line in `missing` if it cannot be shown."""
    edits = run.find("edits") if run.file("edits").exists() else None
    if edits is None or is_complete(edits):
        return edits
    error = InputError(f"{edits.path} does not record what was edited", hint=edits.kind.hint(run.path, force=False))
    run.note_missing("edits", error)
    return None


def is_complete(edits: Artifact) -> bool:
    """Whether the settings of edits.h5 are such as `edit` writes: a received file may hold others."""
    config, attr = edits.spec.config, edits.spec.config.get("attr")
    headings, each = config.get("headings"), config.get("each")
    if "labels_after" not in edits:  # along directions, in a run without labels
        return False
    if not (isinstance(headings, list) and all(isinstance(text, str) for text in headings)):
        return False
    if not (isinstance(attr, list) and all(isinstance(aim, list) and isinstance(aim[0], str) for aim in attr if aim)):
        return False
    fewest = 0 if config.get("direction") else 1
    wanted = len(headings) if each else max(len(attr), fewest)
    return len(headings) == edits.sizes["S"] and len(attr) == wanted and all(attr) and config.get("source") in ROWS_OF


def verdict_section(run: RunFolder, strips: Strips | None, edits: Artifact | None) -> Section:
    """Sheet and table beside each other where the screen is wide enough, then the run in a few lines."""
    scored = run.opened.get("evaluation")
    parts = [
        *([edits_sheet(edits)] if edits and "images_after" in edits else strips_sheet(run, strips)),
        *([figures_table(scored)] if scored else labels_tables(edits)),
    ]
    stale = [note(run.missing["edits"])] if "edits" in run.missing else []
    return Section("verdict", "At a glance", [*stale, element("div", parts, class_="screen"), items(summarise(run))])


def edits_sheet(edits: Artifact) -> Html:
    """The first images of edits.h5 as a table: a row for each, unedited and at each strength or aim."""
    config, targets = edits.spec.config, edited_columns(edits)
    rows, columns = min(edits.spec.n, ROWS), choose_columns(len(config["headings"]), config["each"])
    before, after = edits.rows("images_before", 0, rows), edits.rows("images_after", 0, rows)[columns]
    labels = edits.rows("labels_before", 0, rows), edits.rows("labels_after", 0, rows)[columns]
    headings, index = [config["headings"][s] for s in columns], edits["index"].tolist()
    cells = []
    for i in range(rows):
        own = "" if config["each"] else join_labels(labels[0][i, targets])
        row = [tile(before[i], f"{config['source']} {index[i]}, unedited", own)]
        for s, heading in enumerate(headings):
            aims = [targets[columns[s]]] if config["each"] else targets
            alt = f"{config['source']} {index[i]}, {heading}"
            row.append(tile(after[s, i], alt, join_labels(labels[1][s, i, aims])))
        cells.append(row)
    shown = ROWS_OF[config["source"]].format(", ".join(map(str, index[:rows])))
    caption = f"edits.h5, its first {rows} images, not selected: {shown}. Below each image: label of the target by "
    caption += "the labelling classifier."
    if not config["each"]:
        caption = f"{', '.join(text for text, _ in config['attr'])}: {caption}"
    if len(columns) < len(config["headings"]):
        caption += f" {len(columns)} of {len(config['headings'])} columns."
    return element("div", table(["unedited", *headings], cells, caption), class_="sheet")


def choose_columns(count: int, each: bool) -> list[int]:
    """The columns of edits.h5 that the sheet shows: the first ones, of a sweep some from the first to the last."""
    if each or count <= COLUMNS:
        return list(range(min(count, COLUMNS)))
    return [int(column) for column in np.linspace(0, count - 1, COLUMNS).round()]


def join_labels(labels: np.ndarray) -> str:
    """Labels (t,) as text, with two decimals."""
    return " ".join(f"{label:.2f}" for label in labels)


def tile(pixels: np.ndarray, alt: str, label: str) -> Html:
    """An image uint8 (H, W, C) with a label below it."""
    caption = [element("figcaption", label)] if label else []
    return element("figure", embed_images(shrink_images(pixels[None]), alt), caption)


def strips_sheet(run: RunFolder, strips: Strips | None) -> list[Html]:
    """For every category its first samples, unedited above edited; a note if there are no images."""
    named = run.opened.get("mixture")
    if named is None or strips is None:
        return [note(run.missing[kind]) for kind in ("mixture", "strips") if kind in run.missing][:1]
    cards = []
    for category, name in enumerate(category_names(named)):
        chosen = strips.ordinary(category)[:PAIRS]
        if not len(chosen):
            continue
        pairs = [
            embed_images(strips.images[chosen, step], f"{len(chosen)} samples {how} {name}")
            for step, how in ((0, "without"), (-1, "edited towards"))
        ]
        below = captions_below(strips.labels[chosen, -1, category])
        cards.append(element("figure", element("strong", name), pairs, below))
    caption = (
        "For each category its first unseen samples without the value, not selected; below each of them its edit at "
        "strength 1, and the label of the target by the labelling classifier. gmmedit edit shows other edits here."
    )
    return [element("figure", element("figcaption", caption), element("div", cards, class_="cards"), class_="sheet")]


def figures_table(scored: Artifact) -> Html:
    """A row of figures at strength 1 for each category, their means, and the figures of unedited samples."""
    at, editor = index_figures(scored), leading_editor(scored)
    parts = ({metric: SHOWN_AT_ONE[metric] for metric in metrics} for metrics in (ARRIVED, OTHERS))
    arrived, others = (shown_metrics(part, at, editor) for part in parts)
    agreement = shown_metrics({"agreement": "agreement"}, at, SAMPLES)

    def cells(method: str, attribute: str) -> list[str]:
        parts = ((method, arrived), (SAMPLES, agreement), (method, others))
        return [cell for who, shown in parts for cell in format_cells(at, who, attribute, shown, digits=2)]

    names = ["all", *category_names(scored)]
    rows = [*([name, *cells(editor, name)] for name in names), [REFERENCE, *cells(SAMPLES, "all")]]
    count = at[editor, "flips@1", "all"]["n"]
    caption = f"{editor} at strength 1: {count} edits of unseen samples that lack the value; first row: means."
    columns = ["category", *arrived.values(), *agreement.values(), *others.values()]
    return element("div", table(columns, rows, caption), details("What the columns mean", items(MEANINGS)))


def labels_tables(edits: Artifact | None) -> list[Html]:
    """The mean labels of edits.h5 before and after, as `edit` prints them; none without it."""
    if edits is None:
        return []
    report = edit_report(edits.path)
    rows = [[row["label"], *(f"{value:.2f}" for value in row["means"])] for row in report["labels"]]
    caption = f"Mean labels of the {edits.spec.n} images of edits.h5, by the labelling classifier."
    lines = items([*report["verdicts"], *report["changes"]])
    return [element("div", table(["label", "before", *report["headings"]], rows, caption), lines)]
