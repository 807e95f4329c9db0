"""Networks of a user's own: torch.export programs, TorchScript, ONNX, and what a Python function returns."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.opened import Opened
from gmmedit.classifiers.preprocessing import recolored
from gmmedit.errors import InputError
from gmmedit.networks import Network, exported, file_fingerprint, frozen, onnx, python, torchscript, weights


def read_exported(path: Path, device: str) -> Opened:
    return opened(exported.load(path, device), file_fingerprint(path))


def read_torchscript(path: Path, device: str) -> Opened:
    return Opened(torchscript.load(path, device).module, file_fingerprint(path))


def read_onnx(path: Path, device: str) -> Opened:
    return opened(onnx.load(path, device), file_fingerprint(*onnx.files_of(path)))


def opened(network: Network, fingerprint: str) -> Opened:
    """With what the file tells of its input."""
    shape = network.shapes[0] if network.shapes and len(network.shapes[0]) == 4 else None
    return Opened(
        network.module, fingerprint, shape=shape, dtype=network.dtypes[0] if network.dtypes else torch.float32
    )


def from_python(name: str, device: str, trusted: bool) -> Opened:
    """What `my_classifier.py:load` returns: a module, or any function of a batch of pictures.

    InputError: as `python.call`, or it returns something else.
    """
    made = python.call(name, trusted)
    digest = file_fingerprint(Path(name.rpartition(":")[0]))
    if isinstance(made, nn.Module):
        module = frozen(made, device)
        return Opened(module, digest + weights.fingerprint(module.state_dict()))
    if not callable(made):
        message = f"{name} returns a {type(made).__name__}"
        raise InputError(message, hint="return a torch.nn.Module, or a function of a batch of pictures")

    def forward(images: Tensor) -> Tensor:
        return made(images)

    return Opened(forward, digest)


class Converted(Classifier):
    """A classifier of somebody's own, for images of any channels."""

    converts = True

    def __init__(self, made: Classifier) -> None:
        super().__init__()
        self.made = made
        self.attributes, self.input_size, self.fingerprint = made.attributes, made.input_size, made.fingerprint
        self.channels, self.differentiable, self.calibration = made.channels, made.differentiable, made.calibration

    def logits(self, images: Tensor) -> Tensor:
        return self.made.logits(recolored(images, self.channels))
