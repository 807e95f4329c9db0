"""Classifiers by name, by file, or by the YAML file that describes them."""

from pathlib import Path

import torch
from torch import Tensor

from gmmedit.classifiers import convnet, custom, huggingface, zeroshot
from gmmedit.classifiers.attributes import check_attributes
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.described import DescribedClassifier
from gmmedit.classifiers.description import HINT, Description, read_description
from gmmedit.classifiers.files import READERS, YAML, kind_of, locate_file
from gmmedit.classifiers.image_networks import TRIAL_IMAGES, OpenedNetwork
from gmmedit.classifiers.table import Table
from gmmedit.errors import InputError, out_of_memory
from gmmedit.networks import first_line, python
from gmmedit.runtime.registry import Registry

REGISTRY = Registry(
    "classifier",
    {
        "avatars": "gmmedit.classifiers.convnet:load_avatars",
        "avatars-eval": "gmmedit.classifiers.convnet:load_avatars_eval",  # trained independently, never used in a fit
    },
    "gmmedit.classifiers",
)
"""Names of functions without arguments that return a `Classifier`."""

EVALUATION = {"avatars": "avatars-eval"}
"""Classifiers and their evaluation classifiers: independently trained, with the same attributes."""

READY = {"clip-faces": Path(__file__).parent / "ready" / "clip-faces.yaml"}


def load(name_or_path: str, device: str = "cpu", trusted: bool = True) -> Classifier:
    """The classifier of that name or file, frozen and in evaluation mode.

    trusted: whether the user gave the name; if a file did, Python files run only if the user has named them before
    (see runtime/trust.py). InputError: the name is unknown, the file is missing, damaged or not supported, its
    description does not match it, or a function fails or may not run.
    """
    if name_or_path in READY:
        classifier = open_classifier(str(READY[name_or_path]), device, trusted)
    elif name_or_path in REGISTRY.targets():
        classifier = check_classifier(REGISTRY.load(name_or_path)(), name_or_path)
    else:
        classifier = open_classifier(name_or_path, device, trusted)
    return classifier.to(device).eval().requires_grad_(False)


def evaluation_classifier(name: str) -> str:
    """The independently trained evaluation classifier for this one; `name` itself if none is known."""
    return EVALUATION.get(name, name)


def list_names() -> list[str]:
    """The names of all classifiers: embedded, of other packages, and described in gmmedit/classifiers/ready."""
    return [*REGISTRY.targets(), *READY]


def check_classifier(made: object, where: str) -> Classifier:
    """The classifier, for images of any channels. InputError: it is no `Classifier`, or lacks required attributes."""
    if not isinstance(made, Classifier):
        message = f"{where} returns a {type(made).__name__}, not a Classifier"
        raise InputError(message, hint="describe it in a YAML file: docs/classifiers.md")
    lacking = [name for name in ("attributes", "input_size", "fingerprint") if not getattr(made, name, None)]
    if lacking:
        raise InputError(
            f"the Classifier of {where} has no {', '.join(lacking)}", hint="see gmmedit.classifiers.Classifier"
        )
    check_attributes(made.attributes, where)
    if made.converts:  # a classifier of gmmedit itself
        return made
    check_answers(made, where)
    return custom.ConvertingClassifier(made)


@torch.no_grad()
def check_answers(made: Classifier, where: str) -> None:
    """InputError: the classifier fails on two images, or its logits do not match its attributes."""
    shape = (TRIAL_IMAGES, made.channels[-1], *made.input_size)
    try:
        found = made.logits(torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape))
    except InputError:
        raise
    except Exception as error:  # code of another package
        if out_of_memory(error):
            raise
        message = f"the Classifier of {where} fails on images {list(shape)}: {first_line(error)}"
        raise InputError(message, hint="--debug shows where") from error
    columns = sum(len(attribute.values) for attribute in made.attributes)
    actual = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    if actual != [TRIAL_IMAGES, columns]:
        message = f"logits of {where} are {actual} for {TRIAL_IMAGES} images, its attributes have {columns} values"
        raise InputError(message, hint="return one column for each value of each attribute")


def open_classifier(name: str, device: str, trusted: bool) -> Classifier:
    """The classifier in a file or folder, or described by a YAML file. InputError: as `load`."""
    path = Path(name)
    if path.suffix in YAML:
        return build_classifier(read_description(path, Description), path.parent, f"{name}: ", device, trusted)
    if python.PATTERN.fullmatch(name):
        return check_classifier(python.call_factory(name, trusted), name)
    if path.is_file() and kind_of(path) == "safetensors":
        return convnet.read_network(path)
    return build_classifier(Description(file=name), Path(), "", device, trusted)


def build_classifier(description: Description, base: Path, prefix: str, device: str, trusted: bool) -> Classifier:
    """The classifier of a description; its file is relative to `base`, `prefix` precedes it in errors."""
    name = description.file
    where = f"{prefix}{name}"
    if python.PATTERN.fullmatch(name):
        check_prompts(description, where)
        return DescribedClassifier(
            custom.load_from_python(str(base / name), device, trusted), description, where, device
        )
    path = locate_file(description, base, list_names())
    kind = kind_of(path)
    if kind == "table":
        return Table(path, description)
    for key in description.table_keys():
        raise InputError(f"{where} is not a table of labels, and {key} is for tables", hint=f"remove {key}; {HINT}")
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


def check_prompts(description: Description, where: str) -> None:
    """InputError: the description has prompts, which only transformers folders can read."""
    if description.prompts:
        raise InputError(f"{where} cannot read prompts", hint="give as file: a folder or hub name of CLIP or SigLIP")
