"""ONNX files, run by onnxruntime (`pip install gmmedit[onnx]`): tensors in, tensors out, no gradients."""

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

DTYPES = {"tensor(float16)": torch.float16, "tensor(uint8)": torch.uint8, "tensor(double)": torch.float64}
HINT = "export it with a dynamic batch dimension and one output"


class Session(nn.Module):
    """An onnxruntime session as a module."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def forward(self, *inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """The output, or if there are several all of them by name."""
        arrays: list[np.ndarray] = [tensor.detach().cpu().numpy() for tensor in inputs]
        names = [entry.name for entry in self.session.get_inputs()]
        found = self.session.run(None, dict(zip(names, arrays, strict=True)))
        tensors = [torch.from_numpy(array).to(inputs[0].device) for array in found]
        outputs = [entry.name for entry in self.session.get_outputs()]
        return tensors[0] if len(tensors) == 1 else dict(zip(outputs, tensors, strict=True))


def load_session(path: Path, device: str = "cpu") -> Network:
    """The network, on the GPU if `device` is one and onnxruntime supports it.

    InputError: onnxruntime is not installed, or the file is damaged or not ONNX.
    """
    check_locations(path)
    check_utf8(path, "onnxruntime")
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = "CUDAExecutionProvider"
    usable = device.startswith("cuda") and wanted in runtime.get_available_providers()
    providers = [wanted, "CPUExecutionProvider"] if usable else ["CPUExecutionProvider"]
    with opening(path, "ONNX network", HINT):
        session = runtime.InferenceSession(str(path), options, providers=providers)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = tuple(tuple(size if isinstance(size, int) else None for size in entry.shape) for entry in inputs)
    dtypes = tuple(DTYPES.get(entry.type, torch.float32) for entry in inputs)
    return Network(Session(session), shapes, dtypes, tuple(entry.name for entry in outputs))


def files_of(path: Path) -> list[Path]:
    """The file, and the existing files beside it that hold its external tensors."""
    return [path, *(path.parent / name for name in external_names(path) if (path.parent / name).is_file())]


def external_names(path: Path) -> list[str]:
    """Values of the entries "location" -> name: files that hold tensors beside the model."""
    content = path.read_bytes()
    found = re.finditer(rb"\n\x08location\x12([\x01-\x7f])", content)
    return sorted({content[match.end() : match.end() + match[1][0]].decode(errors="replace") for match in found})


def check_locations(path: Path) -> None:
    """InputError: external tensors lie outside the file's folder, or not in a regular file."""
    check_regular(path, HINT)
    for name in external_names(path):
        inside = "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside:
            raise InputError(f"{path} refers to tensors in {name[:80]!r}, outside its folder", hint=HINT)
        if (path.parent / name).exists():
            check_regular(path.parent / name, HINT)


def import_onnxruntime() -> Any:
    """onnxruntime, with telemetry switched off. InputError: it is not installed."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX files need the onnxruntime package", hint="pip install gmmedit[onnx]") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime
