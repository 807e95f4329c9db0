"""Classifiers from files and folders, and from the YAML files that describe them."""

from collections.abc import Callable
from pathlib import Path

from gmmedit.classifiers import bigan, custom, embedded, huggingface, ifcvae, saae, zeroshot
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.checks import check_classifier
from gmmedit.classifiers.described import DescribedClassifier
from gmmedit.classifiers.description import HINT, Description, read_description
from gmmedit.classifiers.files import READERS, YAML, kind_of, locate_file
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.classifiers.table import Table
from gmmedit.errors import InputError
from gmmedit.networks import python, weights
from gmmedit.networks.bigan import KEY as BIGAN
from gmmedit.networks.ifcvae import KEY as IFCVAE
from gmmedit.networks.saae import KEY as SAAE

TRAINED: dict[str, Callable[[Path], Classifier]] = {
    IFCVAE: ifcvae.read_classifier,
    SAAE: saae.read_classifier,
    BIGAN: bigan.read_classifier,
}
"""Systems whose file holds a classifier among other networks."""


def open_classifier(name: str, device: str, trusted: bool, names: list[str]) -> Classifier:
    """The classifier in a file or folder, or described by a YAML file. InputError: as `gmmedit.classifiers.load`.

    names: of all classifiers, to suggest one of where there is no such file.
    """
    path = Path(name)
    if path.suffix in YAML:
        return build_classifier(read_description(path, Description), path.parent, f"{name}: ", device, trusted, names)
    if python.PATTERN.fullmatch(name):
        return check_classifier(python.call_factory(name, trusted, custom.EXAMPLE), name)
    if path.is_file() and kind_of(path) == "safetensors":
        return read_trained(path)
    return build_classifier(Description(file=name), Path(), "", device, trusted, names)


def read_trained(path: Path) -> Classifier:
    """The classifier in a safetensors file that gmmedit wrote. InputError: damaged, or another kind of file."""
    key = weights.find_key(path, TRAINED)
    return TRAINED[key](path) if key else embedded.read_network(path)


def build_classifier(
    description: Description, base: Path, prefix: str, device: str, trusted: bool, names: list[str]
) -> Classifier:
    """The classifier of a description; its file is relative to `base`, `prefix` precedes it in errors."""
    name = description.file
    where = f"{prefix}{name}"
    if python.PATTERN.fullmatch(name):
        check_prompts(description, where)
        check_no_table(description, where)
        return DescribedClassifier(
            custom.load_from_python(str(base / name), device, trusted), description, where, device
        )
    path = locate_file(description, base, prefix, names)
    kind = kind_of(path)
    if kind == "table":
        return Table(path, description)
    check_no_table(description, where)
    if kind == "safetensors":
        raise InputError(f"{where} needs no description", hint=f"give the file itself: --classifier {path}")
    if not kind:
        message = f"{path} is not a classifier: .pt2, TorchScript, ONNX, safetensors, CSV or HDF5"
        raise InputError(message, hint=HINT)
    if kind != "folder":
        check_prompts(description, where)
    network: OpenedNetwork
    if kind == "folder":
        read_folder = zeroshot.read_zeroshot if description.prompts else huggingface.read_image_classifier
        network = read_folder(path, description, device)
    else:
        network = READERS[kind](path, device)
    return DescribedClassifier(network, description, where, device)


def check_no_table(description: Description, where: str) -> None:
    """InputError: the description has keys that only tables have."""
    for key in description.table_keys():
        raise InputError(f"{where} is not a table of labels, and {key} is for tables", hint=f"remove {key}; {HINT}")


def check_prompts(description: Description, where: str) -> None:
    """InputError: the description has prompts, which only transformers folders can read."""
    if description.prompts:
        raise InputError(f"{where} cannot read prompts", hint="give as file: a folder or hub name of CLIP or SigLIP")
