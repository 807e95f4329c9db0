"""ONNX files, run by onnxruntime (`pip install gmmedit[onnx]`): tensors in, tensors out, no gradients."""

import os
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
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
DEEPEST = 100  # levels of nested messages, as many as protobuf reads
LONGEST_NAME = 4096  # bytes
LOCATION = b"location"
FIXED = {1: 8, 3: 0, 4: 0, 5: 4}  # bytes of the codings without a length: numbers, and the marks of a group
MESSAGES = {  # onnx.proto: the fields that lead to the external_data of a tensor
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


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
    return [path, *(path.parent / name for name in external_names(path) if os.path.isfile(path.parent / name))]


def external_names(path: Path) -> list[str]:
    """Names of the files that hold tensors beside the model, in order. InputError: the file is damaged."""
    with opening(path, "ONNX network", HINT), path.open("rb") as file:
        if not path.stat().st_size:
            return []
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return sorted({name for start, end in find_entries(content) for name in locations(content, start, end)})


def find_entries(content: mmap) -> Iterator[tuple[int, int]]:
    """Start and end of every external_data entry of a model. ValueError: damaged, or nested too deeply."""
    levels = [("model", fields_of(content, 0, len(content)))]
    while levels:
        kind, fields = levels[-1]
        number, start, end = next(fields, (0, 0, 0))
        inner = MESSAGES[kind].get(number)
        if number == 0:
            levels.pop()
        elif inner == "entry" and end:
            yield start, end
        elif inner and end:
            if len(levels) > DEEPEST:
                raise ValueError("its messages are nested too deeply")
            levels.append((inner, fields_of(content, start, end)))


def locations(content: mmap, start: int, end: int) -> list[str]:
    """The values of an entry {1: key, 2: value} whose key is "location"; whichever counts if it gives several."""
    fields = [(number, first, last) for number, first, last in fields_of(content, start, end) if last]
    keys = [content[first:last] for number, first, last in fields if number == 1 and last - first == len(LOCATION)]
    values = [(first, last) for number, first, last in fields if number == 2]
    if LOCATION not in keys:
        return []
    if any(last - first > LONGEST_NAME for first, last in values):
        raise ValueError(f"the name of a file with tensors is longer than {LONGEST_NAME} bytes")
    return [os.fsdecode(content[first:last]) for first, last in values]


def fields_of(content: mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of a protobuf message; the end is 0 for one without a length.

    Groups are entered, so that nothing hides in one. ValueError: damaged.
    """
    while start < end:
        tag, start = read_varint(content, start, end)
        size, coding = 0, tag & 7
        if coding == 0:
            _, start = read_varint(content, start, end)
        elif coding == 2:
            size, start = read_varint(content, start, end)
        elif coding not in FIXED:
            raise ValueError("it is not a protobuf message")
        stop = start + FIXED.get(coding, size)
        if stop > end or tag < 8:
            raise ValueError("it is not a protobuf message")
        yield tag >> 3, start, stop if coding == 2 else 0
        start = stop


def read_varint(content: mmap, start: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends. ValueError: it does not end."""
    value = 0
    for place in range(start, min(end, start + 10)):
        value |= (content[place] & 127) << 7 * (place - start)
        if content[place] < 128:
            return value, place + 1
    raise ValueError("it is not a protobuf message")


def check_locations(path: Path) -> None:
    """InputError: external tensors lie outside the file's folder, or not in a regular file."""
    check_regular(path, HINT)
    for name in external_names(path):
        inside = "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside or name.startswith("*"):  # "*/_ORT_MEM_ADDR_/*" is an address in memory
            raise InputError(f"{path} refers to tensors in {name[:80]!r}, outside its folder", hint=HINT)
        if os.path.exists(path.parent / name):  # unlike Path.exists it takes names that are too long
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
