"""What a generator's file is, found from its content. A format is a row of FORMATS; the first that matches reads."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal

from gmmedit.errors import InputError
from gmmedit.generators import outside, stylegan2
from gmmedit.generators.base import Generator
from gmmedit.generators.formats import biggan, genforce, nvidia, rosinality, tensorflow
from gmmedit.generators.formats.unpickling import HINT, explained, read_pickle, read_torch
from gmmedit.runtime.regular_files import check_regular

Container = Literal["safetensors", "pickle", "torch", "exported", "torchscript", "onnx"]

PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\n\w+\n")  # or an old one that begins with a name, to be refused by it
TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # how a torch.save stream without zip begins
ZIP = b"PK\x03\x04"
HEAD = 256  # bytes that tell containers apart
ONNX = b"\x08"  # the first field of its protocol buffer, the version


@dataclass(frozen=True)
class Format:
    """`matches` and `read` get the content: what the pickle or torch.save holds; None of other containers.

    `read` may raise anything on bad content; `Refused("has no ...")` gives the best message.
    """

    name: str
    container: Container
    matches: Callable[[Any], bool]
    read: Callable[[Path, Any], Generator]


FORMATS = (
    Format("gmmedit safetensors", "safetensors", lambda _: True, lambda path, _: stylegan2.read(path)),
    Format("NVIDIA PyTorch pickle", "pickle", nvidia.matches, nvidia.read),
    Format("NVIDIA PyTorch networks, by torch.save", "torch", nvidia.matches, nvidia.read),
    Format("NVIDIA TensorFlow pickle", "pickle", tensorflow.matches, tensorflow.read),
    Format("rosinality checkpoint", "torch", rosinality.matches, rosinality.read),
    Format("GenForce, SeFa or InterFaceGAN checkpoint", "torch", genforce.matches, genforce.read),
    Format("BigGAN-deep weights", "torch", biggan.matches, biggan.read),
    Format("torch.export program", "exported", lambda _: True, lambda path, _: outside.read_exported(path)),
    Format("TorchScript", "torchscript", lambda _: True, lambda path, _: outside.read_torchscript(path)),
    Format("ONNX", "onnx", lambda _: True, lambda path, _: outside.read_onnx(path)),
)
READERS: dict[Container, Callable[[Path], Any]] = {"pickle": read_pickle, "torch": read_torch}


def read(path: Path) -> tuple[Format, Generator]:
    """The file's format, and its generator on the CPU. InputError: unknown, hostile, damaged or incomplete."""
    container = container_of(path)
    if container is None:
        hint = f"name a function in it: --gan {path}:load" if path.suffix == ".py" else HINT
        raise InputError(f"{path} is neither a pickle nor a torch.save nor a safetensors nor an ONNX file", hint=hint)
    content = READERS[container](path) if container in READERS else None
    for row in FORMATS:
        if row.container == container and row.matches(content):
            with explained(path):
                return row, row.read(path, content)
    raise InputError(f"{path} holds no generator that is known: {summary(content)}", hint=HINT)


def container_of(path: Path) -> Container | None:
    """By the first bytes. InputError: the file cannot be read, or is empty."""
    check_regular(path, HINT)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=HINT) from error
    if not head:
        raise InputError(f"{path} is empty", hint="get it again")
    if head.startswith(ZIP):
        return container_in_zip(path)
    if head.startswith(TORCH):
        return "torch"
    if PICKLE.match(head):
        return "pickle"
    if head[8:9] == b"{":
        return "safetensors"
    return "onnx" if head.startswith(ONNX) else None


def container_in_zip(path: Path) -> Container:
    """By what the zip holds."""
    with explained(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("models/model.json") for name in names):
        return "exported"
    return "torchscript" if any("/code/" in name for name in names) else "torch"


def summary(content: object) -> str:
    """A few words on what was found instead."""
    if isinstance(content, dict):
        return f"a dictionary of {len(content)} entries"
    return f"a {type(content).__name__}"


def describe(path: Path) -> dict[str, Any]:
    """What a person wants to know about a generator's file, JSON-ready. InputError: as `read`."""
    row, generator = read(path)
    config = getattr(generator, "config", None)
    settings = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    facts = {
        "path": str(path),
        "bytes": path.stat().st_size,
        "format": row.name,
        "family": generator.family,
        "fingerprint": generator.fingerprint,
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "image_shape": generator.image_shape,
        "z_dim": generator.z_dim,
        "w_shape": generator.w_shape,
        "n_classes": generator.n_classes,
    }
    more = {name: value for name, value in settings.items() if name not in ("z_dim", "w_dim", "c_dim")}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (facts | more).items()}
