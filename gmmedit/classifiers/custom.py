"""User-supplied networks: torch.export programs, TorchScript, ONNX, and what a Python function returns."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.classifiers.preprocessing import convert_channels
from gmmedit.errors import InputError
from gmmedit.networks import Network, exported, fingerprint_files, freeze, onnx, python, torchscript, weights

EXAMPLE = "my_classifier.py:load"


def read_exported(path: Path, device: str) -> OpenedNetwork:
    """The network in a torch.export file. InputError: as `exported.load_program`."""
    return open_network(exported.load_program(path, device), fingerprint_files(path))


def read_torchscript(path: Path, device: str) -> OpenedNetwork:
    """The network in a TorchScript file. InputError: as `torchscript.load_script`."""
    return OpenedNetwork(torchscript.load_script(path, device).module, fingerprint_files(path))


def read_onnx(path: Path, device: str) -> OpenedNetwork:
    """The network in an ONNX file. InputError: as `onnx.load_session`."""
    return open_network(onnx.load_session(path, device), fingerprint_files(*onnx.files_of(path)))


def open_network(network: Network, fingerprint: str) -> OpenedNetwork:
    """The network, with shape and type of its input as far as the file tells."""
    shape = network.shapes[0] if network.shapes and len(network.shapes[0]) == 4 else None
    return OpenedNetwork(
        network.module, fingerprint, shape=shape, dtype=network.dtypes[0] if network.dtypes else torch.float32
    )


def load_from_python(name: str, device: str, trusted: bool) -> OpenedNetwork:
    """What `my_classifier.py:load` returns: a module, or any function of a batch of images.

    InputError: as `python.call_factory`, or it returns something else.
    """
    made = python.call_factory(name, trusted, EXAMPLE)
    digest = fingerprint_files(Path(name.rpartition(":")[0]))
    if isinstance(made, nn.Module):
        module = freeze(made, device)
        return OpenedNetwork(module, digest + weights.fingerprint_tensors(module.state_dict()))
    if not callable(made):
        message = f"{name} returns a {type(made).__name__}"
        raise InputError(message, hint="return a torch.nn.Module, or a function of a batch of images")

    def forward(images: Tensor) -> Tensor:
        return made(images)

    return OpenedNetwork(forward, digest)


class ConvertingClassifier(Classifier):
    """A classifier of another package, for images of any channels."""

    converts = True

    def __init__(self, made: Classifier) -> None:
        super().__init__()
        self.made = made
        self.attributes, self.input_size, self.fingerprint = made.attributes, made.input_size, made.fingerprint
        self.channels, self.differentiable, self.calibration = made.channels, made.differentiable, made.calibration

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; images of other channels are converted."""
        return self.made.logits(convert_channels(images, self.channels))
