"""Networks that `torch.export.save` wrote (.pt2).

`torch.export.load` trusts its file: it unpickles, evaluates expressions and generates code from names. So the
archive is checked first, and may only hold what a plain exported network does: raw tensors, and a graph of PyTorch's
own operators on identifiers and sizes.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from gmmedit.errors import InputError
from gmmedit.networks import Network, opening
from gmmedit.networks.archives import rewrite_archive

HINT = "save it with torch.export.save in this version of torch"

RECORDS = re.compile(
    r"[^/]+/(models/model\.json|data/(weights|constants)/(weight_\d+|tensor_\d+|model_\w+_config\.json)"
    r"|data/sample_inputs/model\.pt|extra/[^/]+|archive_format|archive_version|byteorder|version|\.data/\w+)"
)
TARGETS = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\b)\w+\.\w+"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.sym_\w+|math\.\w+|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_)"
)
# Sizes, and guards on them: numbers, s0 and u0, and the words that PyTorch writes them with.
WORDS = (
    "Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|Eq|Ne|And|Or|Not|floor"
    "|ceiling|positive|negative|nonnegative|nonzero|integer|real|finite|precision|True|False|L|size|and|or|not"
)
EXPRESSION = re.compile(  # possessive: a hostile text cannot be matched in more than one way
    rf"(?:\b(?:[su]\d+|{WORDS})\b|\b[\d.]++|'\w++'|[\s+\-*/%<>=!~&|(),.\[\]])*+"
)
TOWER = re.compile(r"(?:\*\*|Pow).*(?:\*\*|Pow)|(?:\*\*|Pow).*\d{3}", re.DOTALL)  # evaluating it might never end
NAME = re.compile(r"[\w.]*")
# Where a string is more than a name, and what it may be; None: it is never evaluated.
STRINGS: dict[str, re.Pattern[str] | None] = {
    "target": TARGETS,
    "expr_str": EXPRESSION,
    "guards_code": EXPRESSION,
    "in_spec": re.compile(r'(?:"type": (?:null|"builtins\.(?:tuple|list|dict)")|"context"|"children_spec"|"null"|'
                          r'"\[(?:\\"\w*\\"|[, ])*\]"|null|[\d\[\]{}:, ])*+'),
    "as_string": None,
    "as_strings": None,
    "torch_version": None,
    "metadata": None,
}  # fmt: skip
STRINGS["out_spec"] = STRINGS["in_spec"]


def load_program(path: Path, device: str = "cpu") -> Network:
    """The network, on the device. InputError: the file is damaged, not an exported program, or not allowed."""
    with opening(path, "exported network", HINT):
        program = torch.export.load(rewrite_archive(path, RECORDS, check_record, HINT))
        if device != "cpu":
            program = move_to_device_pass(program, device)
        tensors = inputs_of(program)
        shapes = tuple(tuple(size if isinstance(size, int) else None for size in tensor.shape) for tensor in tensors)
        return Network(program.module().requires_grad_(False), shapes, tuple(tensor.dtype for tensor in tensors))


def inputs_of(program: ExportedProgram) -> list[Tensor]:
    """Tensors like the inputs, without data; dynamic lengths are not of type int."""
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    return [values[name] for name in names if isinstance(values.get(str(name)), Tensor)]


def check_record(name: str, content: bytes) -> None:
    """InputError: torch would unpickle the record, or evaluate a text in it that is not allowed."""
    if name.endswith(".json"):
        check_strings(json.loads(content))
    if name.endswith(".pt"):  # torch would fall back to the ordinary unpickler
        torch.load(io.BytesIO(content), weights_only=True)


def check_strings(record: Any) -> None:
    """InputError: a text in a JSON record is more than a name, an operator or a size expression."""
    for key, value in walk_record("", record):
        if key == "use_pickle" and value:
            raise InputError("holds pickled tensors", hint=HINT)
        pattern = STRINGS.get(key, NAME)
        tower = isinstance(value, str) and pattern is EXPRESSION and TOWER.search(value)
        if isinstance(value, str) and pattern and (tower or "__" in value or not pattern.fullmatch(value)):
            raise InputError(f"has {key} {value[:80]!r}, which exported networks do not have", hint=HINT)


def walk_record(key: str, record: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its values, and ("", key) for every key; items of lists are values of the list's key."""
    if isinstance(record, dict) and key != "metadata":
        for name, value in record.items():
            yield "", name
            yield from walk_record(name, value)
    elif isinstance(record, list):
        for value in record:
            yield from walk_record(key, value)
    elif not isinstance(record, dict):
        yield key, record
