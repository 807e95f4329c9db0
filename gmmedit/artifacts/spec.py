"""What identifies a result. Two runs with the same RunSpec write the same bytes."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gmmedit.artifacts.kinds import Kind, Size
from gmmedit.artifacts.schema import KINDS
from gmmedit.errors import InputError, cut_middle
from gmmedit.runtime import yaml_files

SHOWN_HEX = 12
SHOWN_LETTERS = 300  # of a setting
ABSENT = "absent"
AUTO = "auto"
MACHINE_DEPENDENT = ("precision",)  # settings whose `auto` means what this machine computes fastest


@dataclass(frozen=True)
class RunSpec:
    """The inputs of a result, and nothing that leaves it unchanged (device, batch, absolute paths, times).

    config: plain data (mappings, sequences, strings, numbers). parents: name -> fingerprint of an artifact.
    generator, classifier: {"name": ..., "fingerprint": ...}. n >= 1: samples, the size of the kind's rows.
    sizes: the other dims of the kind's fields, see schema.py. attributes: (name, values) in label order.
    resolved: what `auto` was resolved to for settings in MACHINE_DEPENDENT; recorded, but not compared.
    InputError: n < 1.
    """

    kind: str
    n: int
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    generator: Mapping[str, str] | None = None
    classifier: Mapping[str, str] | None = None
    attributes: Sequence[tuple[str, Sequence[str]]] = ()
    resolved: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"n is {self.n}, at least one sample is needed", hint="-n 1000")

    @property
    def table(self) -> Kind:
        """The schema of the artifact's kind."""
        return KINDS[self.kind]

    def command_on(self, run: Path) -> str:
        """The command line that makes the artifact again, over itself: labels by the same classifier."""
        name = self.config.get("classifier") if self.kind == "labels" else None
        options = f"--classifier {shlex.quote(name)}" if isinstance(name, str) else ""
        inverted = "--inverted " if options and "inversions" in self.parents else ""
        return self.table.command_on(run, options=inverted + options)

    @property
    def all_sizes(self) -> dict[str, Size]:
        """`sizes`, and `n` under the name of the kind's row dim."""
        sizes = {name: _plain_size(size) for name, size in self.sizes.items()}
        return sizes | ({self.table.rows: int(self.n)} if self.table.rows else {})

    @property
    def resolved_config(self) -> dict[str, Any]:
        """The settings that the result was computed with: `config` with `resolved` in place of `auto`."""
        return {**self.config, **self.resolved}

    def record(self) -> dict[str, str | int]:
        """The root attributes that store this spec in a file."""
        config = json.loads(json.dumps(self.config))
        return {
            "kind": self.kind,
            "schema_version": self.table.version,
            "config": yaml.safe_dump(config, sort_keys=True),
            "parents": _text(self.parents),
            "generator": _text(self.generator),
            "classifier": _text(self.classifier),
            "attributes": _text(self.attributes),
            "seed": int(self.seed),
            "n": int(self.n),
            "sizes": _text({name: _plain_size(size) for name, size in self.sizes.items()}),
            **({"resolved": _text(self.resolved)} if self.resolved else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "RunSpec":
        """Inverse of `record`. KeyError, TypeError, ValueError or yaml.YAMLError: not such a record."""
        keys = ("sizes", "parents", "generator", "classifier")
        sizes, parents, generator, classifier = (dict(json.loads(record[key]) or {}) for key in keys)
        attributes, resolved = json.loads(record["attributes"]), json.loads(record.get("resolved", "{}"))
        return cls(
            kind=str(record["kind"]),
            n=int(record["n"]),
            seed=int(record["seed"]),
            config=dict(yaml.load(record["config"], yaml_files.PlainLoader)),
            sizes={name: _plain_size(size) for name, size in sizes.items()},
            parents=parents,
            generator=generator or None,
            classifier=classifier or None,
            attributes=[(str(name), [str(value) for value in values]) for name, values in attributes],
            resolved={str(key): str(value) for key, value in resolved.items()},
        )

    def facts(self) -> dict[str, str]:
        """Every leaf as text under its dotted key, with `resolved` applied: {"config.fit.steps": "2000", ...}."""
        record = self.record()
        tree = {key: json.loads(str(record[key])) or {} for key in ("parents", "generator", "classifier", "sizes")}
        tree |= {key: record[key] for key in ("kind", "schema_version", "n", "seed")}
        tree["config"] = yaml.safe_load(str(record["config"])) | dict(self.resolved)
        tree["attributes"] = {str(place): pair for place, pair in enumerate(self.attributes)}
        return dict(_leaves("", tree))


def differences(there: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """One phrase for each key whose facts differ, without the prefix `config.`: "psi is 0.7 there and 0.5 now".

    there, now: `RunSpec.facts`. A setting that is `auto` now agrees with whatever it was resolved to there.
    """
    ignored = [key for key in (f"config.{name}" for name in MACHINE_DEPENDENT) if now.get(key) == _text(AUTO)]
    keys = [key for key in (*there, *(key for key in now if key not in there)) if key not in ignored]
    pairs = ((key, there.get(key, ABSENT), now.get(key, ABSENT)) for key in keys)
    differing = [(key.removeprefix("config."), shorten(old), shorten(new)) for key, old, new in pairs if old != new]
    # n and seed are also in the config
    return list(dict.fromkeys(f"{name} is {old} there and {new} now" for name, old, new in differing))


def shorten(text: str) -> str:
    """`text`, cut if it is long, as a list of file names is; a hexadecimal fingerprint to its first 12 digits."""
    digits = text.strip('"')
    is_hex = len(digits) > SHOWN_HEX and all(digit in "0123456789abcdef" for digit in digits)
    return digits[:SHOWN_HEX] + "..." if is_hex else cut_middle(text, SHOWN_LETTERS)


def _plain_size(size: Any) -> Size:
    return tuple(int(axis) for axis in size) if isinstance(size, (tuple, list)) else int(size)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _leaves(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name in sorted(value):
            yield from _leaves(f"{key}.{name}" if key else str(name), value[name])
    else:
        yield key, _text(value)
