"""What was run: files, fingerprints, settings, and how to run it again."""

import json

import yaml

from gmmedit.artifacts import Artifact
from gmmedit.config import Config
from gmmedit.pictures.markup import Html, code, element, folded, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.run.folder import RunFolder

SETTINGS = {
    "samples": "sample", "labels": "label", "single": "fit_single", "mixture": "fit_mixture",
    "evaluation": "evaluate", "comparison": "compare",
}  # fmt: skip
DIGITS = 12  # of a fingerprint


def run_section(run: RunFolder) -> Section:
    rows = [
        [f"{kind}.h5", code(it.kind.command), str(it.spec.n), str(it.spec.seed), code(it.fingerprint[:DIGITS])]
        for kind, it in run.there.items()
    ]
    contents = [
        table(["file", "made by", "n", "seed", "fingerprint"], rows, "SHA-256 of the files, their first digits."),
        table(["network", "name", "fingerprint"], networks(run), "SHA-256 of the weights."),
        *(note(text) for text in run.missing.values()),
        *(folded(f"Settings of {kind}.h5", settings(it)) for kind, it in run.there.items()),
    ]
    return Section("run", "The run", contents)


def networks(run: RunFolder) -> list[list[Html | str]]:
    """Generator, labelling classifier, and who judges."""
    roles = (
        ("generator", "samples", "generator"),
        ("labelling classifier", "labels", "classifier"),
        ("judge", "evaluation", "classifier"),
        ("judge of the comparison", "comparison", "classifier"),
    )
    rows = []
    for role, kind, part in roles:
        record = getattr(run.there[kind].spec, part) if kind in run.there else None
        if record:
            rows.append([role, record["name"], code(record["fingerprint"][:DIGITS])])
    return rows


def settings(artifact: Artifact) -> Html:
    config = artifact.spec.resolved_config
    return table(["setting", "value"], [[key, json.dumps(config[key], ensure_ascii=False)] for key in sorted(config)])


def reproduction(run: RunFolder) -> Section:
    """The settings as one YAML file, and the commands that read it."""
    commands = [
        f"{it.kind.command} --run runs/again --config report.yaml" for kind, it in run.there.items() if kind in SETTINGS
    ]
    return Section("reproduce", "How to reproduce", [
        paragraph("Save these settings as ", code("report.yaml"), ":"),
        element("pre", yaml.safe_dump(resolved(run), sort_keys=False, allow_unicode=True), tabindex="0"),
        paragraph(
            "and run these commands with the same gmmedit and the same networks. On the same kind of machine the files "
            "have the fingerprints above."
        ),
        element("pre", "\n".join([*commands, "gmmedit report --run runs/again"]), tabindex="0"),
    ])  # fmt: skip


def resolved(run: RunFolder) -> dict[str, dict[str, object]]:
    """Section -> key -> value, as `--config` reads it."""
    found = {}
    for kind, artifact in run.there.items():
        known = Config.model_fields[SETTINGS[kind]].default.model_dump()
        found[SETTINGS[kind]] = {key: value for key, value in artifact.spec.resolved_config.items() if key in known}
    return found
