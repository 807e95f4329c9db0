"""Weights of TensorFlow.js: a JSON manifest, and binary files of tensors, most of them quantised to 8 bits."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def read_manifest(manifest: Path) -> dict[str, Tensor]:
    """All tensors by name, float32, in TensorFlow's layout.

    A quantised tensor is stored as q and means q * scale + min. ValueError: the files' length is not the manifest's.
    """
    tensors: dict[str, Tensor] = {}
    for group in json.loads(manifest.read_text()):
        content = b"".join((manifest.parent / path).read_bytes() for path in group["paths"])
        start = 0
        for entry in group["weights"]:
            quantised = entry.get("quantization")
            kind = np.dtype(quantised["dtype"] if quantised else entry["dtype"]).newbyteorder("<")
            count = math.prod(entry["shape"])
            values = np.frombuffer(content, kind, count, start).astype(np.float32)
            start += count * kind.itemsize
            if quantised:
                values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            tensors[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]).copy())
        if start != len(content):
            raise ValueError(f"{manifest} describes {start} bytes of {len(content)}")
    return tensors


def to_torch(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """face-api's tensors under the names and in the layouts of programs/face_networks.py.

    Filters HWIO to OIHW, depthwise filters HWC1 to C1HW, matrices transposed; a scale layer is folded into the
    convolution before it.
    """
    found = {}
    for name, tensor in tensors.items():
        *path, last = name.split("/")
        where = ".".join(path)
        if last in ("filters", "pointwise_filter"):
            found[f"{where}.weight"] = tensor.permute(3, 2, 0, 1)
        elif last == "depthwise_filter":
            found[f"{where}.depthwise"] = tensor.permute(2, 3, 0, 1)
        elif tensor.ndim == 2:
            found[f"{where}.weight".lstrip(".") if path else f"{last}.weight"] = tensor.T
        else:
            found[f"{where}.{last}"] = tensor
    return {name: tensor.contiguous() for name, tensor in fold_scales(found).items()}


def fold_scales(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace X.conv and X.scale by one convolution X."""
    found = dict(tensors)
    for name in tensors:
        if name.endswith(".scale.weights"):
            where = name.removesuffix(".scale.weights")
            scale, shift = found.pop(name), found.pop(f"{where}.scale.biases")
            weight, bias = found.pop(f"{where}.conv.weight"), found.pop(f"{where}.conv.bias")
            found[f"{where}.weight"] = weight * scale[:, None, None, None]
            found[f"{where}.bias"] = bias * scale + shift
    return found
