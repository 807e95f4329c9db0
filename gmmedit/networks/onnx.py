"""ONNX files, run by onnxruntime (`pip install gmmedit[onnx]`): tensors in, one tensor out, no gradients."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.networks import Network, opening
from gmmedit.runtime.regular_files import check_regular, check_utf8

HINT = "export it with a dynamic batch dimension and one output"


class Session(nn.Module):
    """A session of onnxruntime as a module."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def forward(self, *inputs: Tensor) -> Tensor:
        arrays: list[np.ndarray] = [tensor.detach().cpu().numpy() for tensor in inputs]
        names = [entry.name for entry in self.session.get_inputs()]
        (found,) = self.session.run(None, dict(zip(names, arrays, strict=True)))
        return torch.from_numpy(found).to(inputs[0].device)


def load(path: Path, device: str = "cpu") -> Network:
    """The network; on a GPU where onnxruntime has one. InputError: no onnxruntime, not such a file, or damaged."""
    check_locations(path)
    check_utf8(path, "onnxruntime")
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = "CUDAExecutionProvider"
    usable = device.startswith("cuda") and wanted in runtime.get_available_providers()
    providers = [wanted, "CPUExecutionProvider"] if usable else ["CPUExecutionProvider"]
    with opening(path, "ONNX network", HINT):
        session = runtime.InferenceSession(str(path), options, providers=providers)
    if len(session.get_outputs()) != 1:
        raise InputError(f"{path} has {len(session.get_outputs())} outputs", hint=HINT)
    shapes = [tuple(size if isinstance(size, int) else None for size in it.shape) for it in session.get_inputs()]
    return Network(Session(session), tuple(shapes))


def files_of(path: Path) -> list[Path]:
    """The file, and those beside it in which large networks keep their tensors: its entries "location" -> name."""
    return [path, *(path.parent / name for name in locations(path) if (path.parent / name).is_file())]


def locations(path: Path) -> list[str]:
    content = path.read_bytes()
    found = re.finditer(rb"\n\x08location\x12([\x01-\x7f])", content)
    return sorted({content[it.end() : it.end() + it[1][0]].decode(errors="replace") for it in found})


def check_locations(path: Path) -> None:
    """InputError: tensors lie outside the file's folder, or in a pipe or a device."""
    check_regular(path, HINT)
    for name in locations(path):
        inside = "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside:
            raise InputError(f"{path} keeps tensors in {name[:80]!r}, outside its folder", hint=HINT)
        if (path.parent / name).exists():
            check_regular(path.parent / name, HINT)


def onnxruntime() -> Any:
    """The package, which would otherwise report its use."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX files need onnxruntime", hint="pip install gmmedit[onnx]") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime
