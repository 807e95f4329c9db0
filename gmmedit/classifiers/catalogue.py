"""Classifiers by name, by file, or by the YAML file that describes one."""

from pathlib import Path

from gmmedit.classifiers import convnet, huggingface, outside, zeroshot
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.described import Described
from gmmedit.classifiers.description import HINT, Description
from gmmedit.classifiers.description import read as read_description
from gmmedit.classifiers.files import READERS, YAML, kind_of, located
from gmmedit.classifiers.opened import Opened
from gmmedit.classifiers.table import Table
from gmmedit.errors import InputError
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
        return build(read_description(path, Description), path.parent, f"{name}: ", device)
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
    path = located(description, base, names())
    kind = kind_of(path)
    if kind == "table":
        return Table(path, description)
    for key in description.table_keys():
        raise InputError(f"{where} is no table of labels, {key} is for tables", hint=f"leave {key} out; {HINT}")
    if kind == "safetensors":
        raise InputError(f"{where} needs no description", hint=f"--classifier {path}")
    if not kind:
        message = f"{path} is no classifier: neither .pt2, TorchScript, ONNX, safetensors, CSV nor HDF5"
        raise InputError(message, hint=HINT)
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
