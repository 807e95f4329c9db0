"""The sections of the run and its reproduction: files, fingerprints, settings, commands."""

import json

import yaml

from gmmedit.artifacts import Artifact
from gmmedit.config import Config
from gmmedit.pictures.markup import Html, code, details, element, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.run.folder import RunFolder

SETTINGS = {
    "samples": "sample", "labels": "label", "single": "fit_single", "mixture": "fit_mixture",
    "evaluation": "evaluate", "comparison": "compare",
}  # fmt: skip
DIGITS = 12  # of a fingerprint


def run_section(run: RunFolder) -> Section:
    """Files and networks with their fingerprints, and the settings of each file."""
    rows = [
        [
            f"{kind}.h5",
            code(artifact.kind.command),
            str(artifact.spec.n),
            str(artifact.spec.seed),
            code(artifact.fingerprint[:DIGITS]),
        ]
        for kind, artifact in run.opened.items()
    ]
    contents = [
        table(["file", "made by", "n", "seed", "fingerprint"], rows, "First digits of the SHA-256 of the files."),
        table(["network", "name", "fingerprint"], network_rows(run), "First digits of the SHA-256 of the weights."),
        *(note(text) for text in run.missing.values()),
        *(details(f"Settings of {kind}.h5", settings_table(artifact)) for kind, artifact in run.opened.items()),
    ]
    return Section("run", "The run", contents)


def network_rows(run: RunFolder) -> list[list[Html | str]]:
    """The networks of the run: role, name, fingerprint."""
    roles = (
        ("generator", "samples", "generator"),
        ("labelling classifier", "labels", "classifier"),
        ("evaluation classifier", "evaluation", "classifier"),
        ("evaluation classifier of the comparison", "comparison", "classifier"),
    )
    rows = []
    for role, kind, part in roles:
        record = getattr(run.opened[kind].spec, part) if kind in run.opened else None
        if record:
            rows.append([role, record["name"], code(record["fingerprint"][:DIGITS])])
    return rows


def settings_table(artifact: Artifact) -> Html:
    """All settings of an artifact."""
    config = artifact.spec.resolved_config
    return table(["setting", "value"], [[key, json.dumps(config[key], ensure_ascii=False)] for key in sorted(config)])


def reproduction_section(run: RunFolder) -> Section:
    """The settings of the run as a YAML file, and the commands that use it."""
    commands = [
        f"{artifact.kind.command} --run runs/again --config report.yaml"
        for kind, artifact in run.opened.items()
        if kind in SETTINGS
    ]
    return Section("reproduce", "How to reproduce", [
        paragraph("Save these settings as ", code("report.yaml"), ":"),
        element("pre", yaml.safe_dump(resolved_settings(run), sort_keys=False, allow_unicode=True), tabindex="0"),
        paragraph(
            "and run these commands with the same version of gmmedit and the same networks. On the same kind of "
            "machine the files have the fingerprints above."
        ),
        element("pre", "\n".join([*commands, "gmmedit report --run runs/again"]), tabindex="0"),
    ])  # fmt: skip


def resolved_settings(run: RunFolder) -> dict[str, dict[str, object]]:
    """Settings by section and key, as read by `--config`."""
    found = {}
    for kind, artifact in run.opened.items():
        if kind not in SETTINGS:
            continue
        known = Config.model_fields[SETTINGS[kind]].default.model_dump()
        found[SETTINGS[kind]] = {key: value for key, value in artifact.spec.resolved_config.items() if key in known}
    return found
