"""docs/artifacts.md, generated from the schema tables."""

from gmmedit.artifacts.kinds import Kind
from gmmedit.artifacts.schema import KINDS

DIMS = {
    "N": "samples",
    "H, W, C": "image height, width, channels (RGB)",
    "t_h, t_w": "thumbnail height, width",
    "K": "categories: the values of all attributes, in the order of the root attribute `attributes`",
    "S": "edit strengths",
    "T": "recorded steps of a fit",
    "z_dim": "latent dims of the generator",
    "w_dim": "dims of a mapped latent: one axis, or two (layers, dims) for W+",
    "D": "dims of a latent in the edited space: one axis, or two (layers, dims) for W+",
    "n_classes": "classes of a conditional generator",
}

ROOT_ATTRIBUTES = {
    "kind": "which of the tables below applies",
    "schema_version": "version of that table",
    "gmmedit_version": "version of gmmedit that wrote the file",
    "form": "`rows` (filled in chunks), `whole` (written at once) or `checkpoint` (an unfinished fit)",
    "config": "settings that the result depends on, YAML",
    "parents": "name to SHA-256 of the artifacts it was made from, JSON",
    "generator": "name and fingerprint of the generator, JSON, or null",
    "classifier": "name and fingerprint of the classifier, JSON, or null",
    "attributes": 'attributes and their values, JSON: `[["smile", ["no", "yes"]], ...]`',
    "resolved": "what `precision: auto` was resolved to, JSON; only where `auto` was given; not compared",
    "seed": "seed of the stage that made it, see `gmmedit COMMAND --help`",
    "n": "number of samples it was made from",
    "sizes": "dim names to sizes, JSON",
    "chunk": "rows per chunk, 0 unless the form is `rows`",
    "extra": "further facts that the stage recorded, JSON",
    "attributes_checksum": "CRC-32 of the other attributes as JSON with sorted keys",
}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(*head: str) -> list[str]:
    return [_row(*head), _row(*("---" for _ in head))]


def _kind_section(kind: Kind) -> list[str]:
    filling = f"Filled in chunks along {kind.rows}." if kind.rows else "Written whole."
    text = f"{kind.summary} {filling} Made by `{kind.command}`."
    lines = ["", f"## {kind.name} (schema {kind.version})", "", text, ""]
    lines += _table("dataset", "dims", "dtype", "meaning")
    for field in kind.fields:
        dims = "any" if field.is_open else f"({', '.join(field.dims)})"
        meaning = f"{field.meaning} (optional)" if field.optional else field.meaning
        lines.append(_row(f"`{field.name}`", dims, field.dtype, meaning))
    return lines


def schema_markdown() -> str:
    """The text of docs/artifacts.md."""
    lines = [
        "# Artifacts",
        "",
        "Generated from `gmmedit/artifacts/schema.py` by `make docs`. Every stage writes one HDF5 file,",
        "little-endian, uncompressed and without time stamps: equal settings give equal bytes. While a",
        "stage runs, the file is called `NAME.h5.partial`; it is renamed when it is complete. Run the same",
        "command again to resume a stopped stage. Files of the form `rows` also have a dataset `done`",
        "(u1): 1 for each finished chunk of rows. Every file has a dataset `checksums` (u4): CRC-32 of each chunk",
        "(rows) of each dataset (columns, by name). The checksum of a dataset without rows is repeated in every",
        "chunk; files of the other forms have one chunk.",
        "",
        "## Dims",
        "",
        *_table("name", "meaning"),
        *(_row(name, meaning) for name, meaning in DIMS.items()),
        "",
        "## Root attributes",
        "",
        *_table("name", "meaning"),
        *(_row(f"`{name}`", meaning) for name, meaning in ROOT_ATTRIBUTES.items()),
    ]
    return "\n".join([*lines, *(line for kind in KINDS.values() for line in _kind_section(kind))]) + "\n"
