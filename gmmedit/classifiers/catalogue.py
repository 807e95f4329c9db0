"""Classifiers by name, by file, or by the YAML file that describes one."""

import zipfile
from pathlib import Path

from gmmedit.classifiers import convnet, huggingface, outside, zeroshot
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.described import Described, Opened
from gmmedit.classifiers.description import HINT, Description
from gmmedit.classifiers.description import read as read_description
from gmmedit.classifiers.table import Table
from gmmedit.errors import InputError, nearest
from gmmedit.networks import python
from gmmedit.registry import Registry

REGISTRY = Registry(
    "classifier",
    {
        "avatars": "gmmedit.classifiers.convnet:avatars",
        "avatars-eval": "gmmedit.classifiers.convnet:avatars_eval",  # trained apart, never used in a fit
    },
    "gmmedit.classifiers",
)
"""Names to functions without arguments that return a `Classifier`."""

READY = {"clip-faces": Path(__file__).parent / "ready" / "clip-faces.yaml"}
YAML = (".yaml", ".yml")
BY_SUFFIX = {".safetensors": "safetensors", ".onnx": "onnx", ".csv": "table"}
SUFFIXES = (*YAML, ".pt2", ".pt", ".pth", ".ts", ".onnx", ".safetensors", ".csv", ".h5", ".hdf5", ".py", ".bin")
READERS = {"exported": outside.read_exported, "torchscript": outside.read_torchscript, "onnx": outside.read_onnx}
WEIGHTS = "holds weights, or something else, without the network that they belong to"
REBUILD = f"write a my_classifier.py:load that builds it; {HINT}"


def load(name_or_path: str, device: str = "cpu") -> Classifier:
    """The classifier of that name or file, frozen and in evaluation mode.

    InputError: unknown name, missing, foreign or damaged file, or a description that does not fit it.
    """
    if name_or_path in READY:
        classifier = opened(str(READY[name_or_path]), device)
    elif name_or_path in REGISTRY.targets():
        classifier = checked(REGISTRY.load(name_or_path)(), name_or_path)
    else:
        classifier = opened(name_or_path, device)
    return classifier.to(device).eval().requires_grad_(False)


def names() -> list[str]:
    return [*REGISTRY.targets(), *READY]


def checked(made: object, where: str) -> Classifier:
    """InputError: a plug-in or factory returned something else, or without what every stage asks for."""
    if not isinstance(made, Classifier):
        message = f"{where} gives a {type(made).__name__} and no Classifier"
        raise InputError(message, hint="describe it in a YAML file: docs/classifiers.md")
    lacking = [name for name in ("attributes", "input_size", "fingerprint") if not getattr(made, name, None)]
    if lacking:
        raise InputError(f"the Classifier of {where} has no {', '.join(lacking)}", hint="gmmedit.classifiers.base")
    return made


def opened(name: str, device: str) -> Classifier:
    """The classifier in a file, in a folder, or described by a YAML file."""
    path = Path(name)
    if path.suffix in YAML:
        return build(read_description(path), path.parent, f"{name}: ", device)
    if python.PATTERN.fullmatch(name):
        return checked(python.call(name), name)
    if path.is_file() and kind_of(path) == "safetensors":
        return convnet.read(path)
    return build(Description(file=name), Path(), "", device)


def build(description: Description, base: Path, prefix: str, device: str) -> Classifier:
    """The classifier of a description whose file lies relative to `base`."""
    name = description.file
    where = f"{prefix}{name}"
    if python.PATTERN.fullmatch(name):
        check_prompts(description, where)
        return Described(outside.from_python(str(base / name), device), description, where, device)
    path = located(name, base)
    kind = kind_of(path)
    if kind == "table":
        return Table(path, description)
    if kind == "safetensors":
        raise InputError(f"{where} needs no description", hint=f"--classifier {path}")
    if kind != "folder":
        check_prompts(description, where)
    network: Opened
    if kind == "folder":
        network = zeroshot.read(path, description, device) if description.prompts else huggingface.read(path, device)
    else:
        network = READERS[kind](path, device)
    return Described(network, description, where, device)


def check_prompts(description: Description, where: str) -> None:
    """InputError: a network that reads no words is asked to."""
    if description.prompts:
        raise InputError(f"{where} cannot read prompts", hint="file: a folder or hub name of CLIP or SigLIP")


def located(name: str, base: Path) -> Path:
    """The file or folder, next to the description, or the hub's in the local cache. InputError: there is none."""
    path = base / name
    if path.exists():
        return path
    if huggingface.HUB_NAME.fullmatch(name) and path.suffix not in SUFFIXES:
        return huggingface.folder_of(name)
    if path.suffix or "/" in name:
        raise InputError(f"there is no classifier file {path}", hint="gmmedit label --classifier avatars")
    raise InputError(f"there is no classifier called {name!r}", hint=nearest(name, names()))


def kind_of(path: Path) -> str:
    """What a file holds, by its content as far as that tells. InputError: nothing that a classifier can be."""
    if path.is_dir():
        return "folder"
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK"):
        return kind_of_archive(path)
    if start == b"\x89HDF\r\n\x1a\n":
        return "table"
    if start.startswith(b"\x80"):
        raise InputError(f"{path} {WEIGHTS}", hint=REBUILD)
    if path.suffix == ".py":
        raise InputError(f"{path} is a program, of which a function gives the classifier", hint=f"{path.name}:load")
    if path.suffix in BY_SUFFIX:
        return BY_SUFFIX[path.suffix]
    message = f"{path} is no classifier: neither .pt2, TorchScript, ONNX, safetensors, CSV nor HDF5"
    raise InputError(message, hint=HINT)


def kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}", hint=HINT) from error
    if any("/code/" in name for name in names):
        return "torchscript"
    if any(name.endswith(("models/model.json", "serialized_exported_program.json")) for name in names):
        return "exported"
    raise InputError(f"{path} {WEIGHTS}", hint=REBUILD)
