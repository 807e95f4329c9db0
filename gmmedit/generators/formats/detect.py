"""Find a generator file's format from its content. A format is a row of FORMATS; the first that matches is used."""

import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from gmmedit.errors import InputError
from gmmedit.generators.base import Generator
from gmmedit.generators.formats.mistaken import ARCHIVE, HEAD, check_mistaken
from gmmedit.networks.lazy_tensors import read_safetensors
from gmmedit.networks.pickle_values import shorten
from gmmedit.networks.unpickling import HINT, read_pickle, read_torch, report_damage
from gmmedit.networks.weights import starts_safetensors
from gmmedit.runtime.regular_files import check_regular

Container = Literal[
    "stylegan2", "ifcvae-gan", "saae", "bigan", "safetensors", "pickle", "torch", "exported", "torchscript", "onnx"
]  # fmt: skip

PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\n\w+\n")  # or of an old protocol, which is refused with that reason
TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # how a torch.save stream without zip begins
ZIP = b"PK\x03\x04"
ONNX = b"\x08"  # the first field of its protocol buffer, the version
TENSORS: tuple[Container, ...] = ("torch", "safetensors", "pickle")  # where state dictionaries are found
SHOWN = 20  # names in a message
OWN: tuple[Container, ...] = ("stylegan2", "ifcvae-gan", "saae", "bigan")  # keys in the metadata of our safetensors


@dataclass(frozen=True)
class Format:
    """One kind of file, and the module that reads it, which is imported when a file of its containers is opened.

    Of a container in READERS, which returns its content, `module.matches(content)` tells whether a file is of this
    format, and `module.READER(path, content)` reads it; of others `module.READER(path)` does. READER may raise anything
    on bad content; `Refused("has no ...")` gives the best message.
    """

    name: str
    containers: tuple[Container, ...]
    module: str
    reader: str = "read_generator"

    def matches(self, *content: Any) -> bool:
        """Whether the content, if there is any, is that of such a file."""
        return not content or bool(import_module(self.module).matches(*content))

    def read(self, path: Path, *content: Any) -> Generator:
        """The generator of such a file, on the CPU."""
        generator: Generator = getattr(import_module(self.module), self.reader)(path, *content)
        return generator


FAMILIES = "gmmedit.generators"
FORMATS = (
    Format("gmmedit safetensors", ("stylegan2",), f"{FAMILIES}.stylegan2"),
    Format("gmmedit safetensors of IFcVAE-GAN", ("ifcvae-gan",), f"{FAMILIES}.ifcvae"),
    Format("gmmedit safetensors of SAAE", ("saae",), f"{FAMILIES}.saae"),
    Format("gmmedit safetensors of BiGAN", ("bigan",), f"{FAMILIES}.bigan"),
    Format("NVIDIA PyTorch pickle", ("pickle",), f"{FAMILIES}.formats.nvidia"),
    Format("NVIDIA PyTorch networks, by torch.save", ("torch",), f"{FAMILIES}.formats.nvidia"),
    Format("NVIDIA TensorFlow pickle", ("pickle",), f"{FAMILIES}.formats.tensorflow"),
    Format("NVIDIA PyTorch state dictionary", TENSORS, f"{FAMILIES}.formats.nvidia_state"),
    Format("rosinality checkpoint", TENSORS, f"{FAMILIES}.formats.rosinality"),
    Format("GenForce, SeFa or InterFaceGAN checkpoint", TENSORS, f"{FAMILIES}.formats.genforce"),
    Format("BigGAN-deep weights", TENSORS, f"{FAMILIES}.formats.biggan"),
    Format("torch.export program", ("exported",), f"{FAMILIES}.custom", "read_exported"),
    Format("TorchScript", ("torchscript",), f"{FAMILIES}.custom", "read_torchscript"),
    Format("ONNX", ("onnx",), f"{FAMILIES}.custom", "read_onnx"),
)
READERS: dict[Container, Callable[[Path, set[str]], Any]] = {
    "pickle": read_pickle,
    "torch": read_torch,
    "safetensors": lambda path, _: read_safetensors(path),
}


def read_checkpoint(path: Path, inert: set[str] | None = None) -> tuple[Format, Generator]:
    """The file's format, and its generator on the CPU. InputError: unknown, hostile, damaged or incomplete.

    inert: collects names in the file that the generator does not need, which are not imported or run.
    """
    inert = set() if inert is None else inert
    container = container_of(path)
    if container is None:
        hint = f"give a function in it: --gan {path}:load" if path.suffix == ".py" else HINT
        raise InputError(f"{path} is not a pickle, torch.save, safetensors or ONNX file", hint=hint)
    with report_damage(path):
        content = [READERS[container](path, inert)] if container in READERS else []
        for row in FORMATS:
            if container in row.containers and row.matches(*content):
                return row, row.read(path, *content)
    unknown = f"; it refers to {', '.join(list_names(inert))}, which were not run" if inert else ""
    raise InputError(f"{path} does not hold a known generator: {summarise(*content)}{unknown}", hint=HINT)


def container_of(path: Path) -> Container | None:
    """The container, by the file's first bytes; None: an unknown one.

    InputError: the file cannot be read, is empty, or is recognised as something other than a checkpoint.
    """
    check_regular(path, HINT)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=HINT) from error
    check_mistaken(path, head)
    if head.startswith(ZIP):
        return container_in_zip(path)
    if starts_safetensors(head):
        with suppress(SafetensorError), safe_open(path, framework="pt") as stored:
            there = stored.metadata() or {}
            return next((key for key in OWN if key in there), "safetensors")
        return "safetensors"
    if head.startswith(TORCH):
        return "torch"
    if PICKLE.match(head):
        return "pickle"
    return "onnx" if head.startswith(ONNX) else None


def container_in_zip(path: Path) -> Container:
    """The container, by the names in the zip. InputError: it is damaged, or not a checkpoint."""
    with report_damage(path):
        if not zipfile.is_zipfile(path):
            raise EOFError  # the table of contents is at its end
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    if any(name.endswith("models/model.json") for name in names):
        return "exported"
    if any("/code/" in name for name in names):
        return "torchscript"
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        first = f" ({names[0]}, ...)" if names else ""
        raise InputError(f"{path} is a zip of {len(names)} files{first}, not a checkpoint", hint=ARCHIVE)
    return "torch"


def list_names(names: set[str]) -> list[str]:
    """The names, sorted; after SHOWN of them only how many more there are."""
    rest = len(names) - SHOWN
    return [*sorted(names)[:SHOWN], *([f"and {rest} more"] if rest > 0 else [])]


def summarise(content: object) -> str:
    """A few words on what a file holds, for errors."""
    if isinstance(content, dict):
        first = f" ({shorten(str(next(iter(content))))}, ...)" if content else ""
        return f"a dictionary of {len(content)} entries{first}"
    return f"a {type(content).__name__}"


def describe(path: Path) -> dict[str, Any]:
    """Facts about a generator's file, JSON-ready. InputError: as `read_checkpoint`."""
    inert: set[str] = set()
    row, generator = read_checkpoint(path, inert)
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
    if inert:
        facts["inert_names"] = list_names(inert)
    more = {name: value for name, value in settings.items() if name not in ("z_dim", "w_dim", "c_dim")}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (facts | more).items()}
