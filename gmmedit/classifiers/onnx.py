"""ONNX files, run by onnxruntime (`pip install gmmedit[onnx]`): pictures in, numbers out, no gradients."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit.classifiers.described import Network, file_fingerprint
from gmmedit.errors import InputError

HINT = "export it with a dynamic batch dimension, one float input and one output"


def read(path: Path, device: str) -> Network:
    """The network; on a GPU where onnxruntime has one. InputError: no onnxruntime, not such a file, or damaged."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = "CUDAExecutionProvider"
    usable = device.startswith("cuda") and wanted in runtime.get_available_providers()
    providers = [wanted, "CPUExecutionProvider"] if usable else ["CPUExecutionProvider"]
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
        (images,), (outputs,) = session.get_inputs(), session.get_outputs()
    except Exception as error:  # onnxruntime's own classes derive from nothing in common; ValueError: not one each
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is no ONNX network with one input and one output: {reason}", hint=HINT) from error

    def forward(pixels: Tensor) -> Tensor:
        (found,) = session.run([outputs.name], {images.name: pixels.detach().cpu().numpy()})
        return torch.from_numpy(found).to(pixels.device)

    return Network(forward, file_fingerprint(path, *tensor_files(path)))


def tensor_files(path: Path) -> list[Path]:
    """The files beside it in which a large network keeps its tensors: protobuf entries "location" -> name."""
    content = path.read_bytes()
    found = re.finditer(rb"\n\x08location\x12([\x01-\x7f])", content)
    names = {content[it.end() : it.end() + it[1][0]].decode(errors="replace") for it in found}
    return [path.parent / name for name in sorted(names)]


def onnxruntime() -> Any:
    """The package, which would otherwise report its use."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX files need onnxruntime", hint="pip install gmmedit[onnx]") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime
