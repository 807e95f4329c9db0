"""Networks of a user's own: torch.export programs, TorchScript, ONNX, and what a Python function returns."""

from pathlib import Path

from torch import Tensor, nn

from gmmedit.classifiers.opened import Opened
from gmmedit.errors import InputError
from gmmedit.networks import exported, file_fingerprint, frozen, onnx, python, torchscript, weights


def read_exported(path: Path, device: str) -> Opened:
    return Opened(exported.load(path, device).module, file_fingerprint(path))


def read_torchscript(path: Path, device: str) -> Opened:
    return Opened(torchscript.load(path, device).module, file_fingerprint(path))


def read_onnx(path: Path, device: str) -> Opened:
    return Opened(onnx.load(path, device).module, file_fingerprint(*onnx.files_of(path)))


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
