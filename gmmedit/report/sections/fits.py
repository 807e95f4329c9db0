"""Labels and fits: what the classifier saw, how the losses went, how far apart the subspaces lie."""

import numpy as np

from gmmedit.artifacts import Artifact
from gmmedit.pictures.charts import Axis, Line, chart, finite
from gmmedit.pictures.markup import Html, bar, element, heat_map, items, note, paragraph, signed, table
from gmmedit.pictures.page import Section
from gmmedit.report.labels import label_report
from gmmedit.report.summaries import fit_report
from gmmedit.run.folder import RunFolder

TERMS = {
    "label": "labels read", "likelihood": "likelihood", "sampling": "drawn is what is labelled",
    "decoupling": "other labels held", "target": "target reached", "change": "latent's change",
    "picture": "picture's change", "loss": "whole loss",
}  # fmt: skip


def labels_section(run: RunFolder) -> Section:
    if "labels" not in run.there:
        return Section("labels", "Labels", [note(run.missing["labels"])])
    labels = run.there["labels"]
    report = label_report(labels.path)
    rows = [
        [f"{it['attribute']}={value}", bar(rate), f"{it['confidence']:.2f}"]
        for it in report["attributes"] for value, rate in it["rates"].items()
    ]  # fmt: skip
    names = [it["attribute"] for it in report["attributes"]]
    contents = [
        paragraph(
            f"What the classifier sees in {report['samples']} samples. Values that hardly anybody has are hard to "
            "learn, and attributes that go together are hard to keep apart."
        ),
        *(note(line) for line in (*report["notes"], *report["warnings"])),
        table(["label", "share of samples", "mean confidence"], rows),
    ]
    if report["correlations"]:
        contents.append(correlations(names, report["correlations"]))
    return Section("labels", "Labels", contents)


def correlations(names: list[str], pairs: list[dict]) -> Html:
    matrix = np.eye(len(names))
    for pair in pairs:
        a, b = (names.index(name) for name in pair["attributes"])
        matrix[a, b] = matrix[b, a] = pair["correlation"]
    texts = [["" if a == b else signed(matrix[a, b]) for b in range(len(names))] for a in range(len(names))]
    caption = (
        "Correlations of the labels. Orange: seen together, blue: seldom together; the stronger the colour, the more "
        "entangled. Of attributes with more than two values it is the first canonical correlation, without a sign."
    )
    return heat_map(names, names, matrix - np.eye(len(names)), texts, caption)


def fits_section(run: RunFolder) -> Section:
    contents = []
    for kind, title in (("single", "Each category alone (fit-single)"), ("mixture", "All together (fit-mixture)")):
        contents.append(element("h3", title))
        if kind in run.there:
            contents += [paragraph(fit_report(run.there[kind].path)["verdict"], "."), losses(run.there[kind])]
        else:
            contents.append(note(run.missing[kind]))
    last = run.there.get("mixture") or run.there.get("single")
    return Section("fits", "Fits", [*contents, *(subspaces(last) if last else [])])


def losses(fit: Artifact) -> Html:
    """A small chart for each term of the loss: their scales differ."""
    history = fit.group("history")
    step = history.pop("step")
    x = Axis.around("step", finite(step))
    charts = []
    for name in sorted(history, key=lambda name: (name != "loss", name)):
        values = finite(history[name])
        lines = [Line("", finite(step), values, None), Line(name, finite(step), smooth(values), 1, strong=True)]
        alt = f"{name} of {fit.spec.kind} from {values[0]:.3g} to {values[-1]:.3g} in {int(step[-1]) + 1} steps"
        y = Axis.around("", values, log=min(values) > 0)
        charts.append(chart(lines, x, y, TERMS.get(name, name), alt, small=True))
    return element("div", charts, class_="charts")


def smooth(values: list[float], window: int = 15) -> list[float]:
    """Running medians: a line that can be followed through the noise of batches."""
    half = window // 2
    return [float(np.median(values[max(i - half, 0) : i + half + 1])) for i in range(len(values))]


def subspaces(fit: Artifact) -> list[Html]:
    """How well held-out samples are read, and the angles between the attributes' subspaces."""
    report = fit_report(fit.path)["attributes"]
    rows = [[it["attribute"], f"{it['accuracy']:.3f}", f"{it['separation']:.2f}", it["rates"]] for it in report]
    contents = [
        element("h3", "Subspaces"),
        table(["attribute", "accuracy", "separation", "rates read / labelled"], rows),
        items([
            "accuracy: how often the fit names the value that the classifier sees, on samples held out of it",
            "separation: distance of the closest two values in units of their spread; below 1 the attribute is hardly "
            "visible to this latent space",
        ]),
    ]  # fmt: skip
    angles, names = fit["report/angles"], [name for name, _ in fit.attributes]
    if len(names) > 1:
        texts = [["" if a == b else f"{angles[a, b]:.0f}°" for b in range(len(names))] for a in range(len(names))]
        caption = (
            "Smallest angle between the subspaces of two attributes. 90°: moving in one leaves the other alone; the "
            "more orange, the harder they are to keep apart."
        )
        contents.append(heat_map(names, names, (1 - angles / 90) * (1 - np.eye(len(names))), texts, caption))
    return contents
