"""The sections of labels and fits: label statistics, losses, and angles between the subspaces."""

import numpy as np

from gmmedit.artifacts import Artifact
from gmmedit.pictures.charts import Axis, Line, render_chart, to_floats
from gmmedit.pictures.markup import Html, bar, element, format_signed, heat_map, items, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.report.labels import label_report
from gmmedit.report.summaries import fit_report
from gmmedit.run.folder import RunFolder

TERMS = {
    "label": "predicted labels", "likelihood": "likelihood", "sampling": "labels of draws",
    "decoupling": "other labels", "target": "target label", "change": "change of the latent",
    "picture": "change of the image", "loss": "total loss",
}  # fmt: skip


def labels_section(run: RunFolder) -> Section:
    """Rates, confidence and correlations of the labels."""
    if "labels" not in run.opened:
        return Section("labels", "Labels", [note(run.missing["labels"])])
    labels = run.opened["labels"]
    report = label_report(labels.path)
    rows = [
        [f"{attribute['attribute']}={value}", bar(rate), f"{attribute['confidence']:.2f}"]
        for attribute in report["attributes"] for value, rate in attribute["rates"].items()
    ]  # fmt: skip
    names = [attribute["attribute"] for attribute in report["attributes"]]
    contents = [
        paragraph(
            f"Labels of {report['samples']} samples. Rare values are hard to fit, correlated attributes are hard to "
            "separate."
        ),
        *(note(line) for line in (*report["notes"], *report["warnings"])),
        table(["label", "share of samples", "mean confidence"], rows),
    ]
    if report["correlations"]:
        contents.append(correlation_map(names, report["correlations"]))
    return Section("labels", "Labels", contents)


def correlation_map(names: list[str], pairs: list[dict]) -> Html:
    """A heat map of the correlations of all pairs of attributes."""
    matrix, texts = np.eye(len(names)), [[""] * len(names) for _ in names]
    for pair in pairs:
        a, b = (names.index(name) for name in pair["attributes"])
        matrix[a, b] = matrix[b, a] = pair["correlation"]
        value = pair["correlation"]
        texts[a][b] = texts[b][a] = format_signed(value) if pair["signed"] else f"{value:.2f}"
    caption = (
        "Correlations of the labels. Orange: positive, blue: negative. For attributes with more than two values: the "
        "first canonical correlation, without a sign."
    )
    return heat_map(names, names, matrix - np.eye(len(names)), texts, caption)


def fits_section(run: RunFolder) -> Section:
    """The losses of both fits, and the subspaces of the last one."""
    contents = []
    for kind, title in (
        ("single", "One Gaussian per category (fit-single)"),
        ("mixture", "Mixture of all Gaussians (fit-mixture)"),
    ):
        contents.append(element("h3", title))
        if kind in run.opened:
            report = fit_report(run.opened[kind].path)
            contents += [paragraph(report["verdict"], "."), loss_charts(run.opened[kind])]
            if report["edits"]:
                contents += edits_table(report["edits"])
        else:
            contents.append(note(run.missing[kind]))
    last = run.opened.get("mixture") or run.opened.get("single")
    return Section("fits", "Fits", [*contents, *(subspace_tables(last) if last else [])])


def edits_table(rows: list[dict]) -> list[Html]:
    """What the fitted displacement does to held-out samples, from `edit_rows`."""
    cells = [
        [row["label"], *("-" if row[name] is None else f"{row[name]:.2f}" for name in ("arrived", "kept", "change"))]
        for row in rows
    ]
    return [
        paragraph(
            "Edits of up to 32 held-out samples without the value, by the fitted displacement in one pass at strength "
            "1, labelled by the classifier. The change of the image is in units of that between two samples."
        ),
        table(["value", "arrived", "others kept", "image change"], cells),
    ]


def loss_charts(fit: Artifact) -> Html:
    """A small chart for each term of the loss."""
    history = fit.group("history")
    step = history.pop("step")
    x = Axis.around("step", to_floats(step))
    charts = []
    for name in sorted(history, key=lambda name: (name != "loss", name)):
        values = to_floats(history[name])
        lines = [
            Line("", to_floats(step), values, None),
            Line(name, to_floats(step), smooth_medians(values), 1, strong=True),
        ]
        alt = f"{name} of {fit.spec.kind} from {values[0]:.3g} to {values[-1]:.3g} in {int(step[-1]) + 1} steps"
        y = Axis.around("", values, log=min(values) > 0)
        charts.append(render_chart(lines, x, y, TERMS.get(name, name), alt, small=True))
    return element("div", charts, class_="charts")


def smooth_medians(values: list[float], window: int = 15) -> list[float]:
    """Running medians of `window` values, against the noise of batches."""
    half = window // 2
    return [float(np.median(values[max(i - half, 0) : i + half + 1])) for i in range(len(values))]


def subspace_tables(fit: Artifact) -> list[Html]:
    """Held-out accuracy and separation of each attribute, and the angles between their subspaces."""
    report = fit_report(fit.path)["attributes"]
    rows = [[row["attribute"], f"{row['accuracy']:.3f}", f"{row['separation']:.2f}", row["rates"]] for row in report]
    contents = [
        element("h3", "Subspaces"),
        table(["attribute", "accuracy", "separation", "rates predicted / labelled"], rows),
        items([
            "accuracy: share of held-out samples for which the fit predicts the classifier's value from the latent",
            "separation: distance between the closest two values in standard deviations; below 1 the latent space "
            "hardly encodes the attribute",
        ]),
    ]  # fmt: skip
    angles, names = fit["report/angles"], [name for name, _ in fit.attributes]
    if len(names) > 1:
        texts = [["" if a == b else f"{angles[a, b]:.0f}°" for b in range(len(names))] for a in range(len(names))]
        caption = (
            "Smallest angle between the subspaces of two attributes. At 90° a movement in one does not change the "
            "other; orange: smaller angles, which are harder to separate."
        )
        contents.append(heat_map(names, names, (1 - angles / 90) * (1 - np.eye(len(names))), texts, caption))
    return contents
