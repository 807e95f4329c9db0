"""A user's tiny generators, as modules and as files of every kind."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gmmedit.generators import Generator

SIZE = 32


class Painter(nn.Module):
    """A plain MLP: latents (N, 6), and one-hot classes where it has any, to images in [0, 1]."""

    z_dim = 6
    range = (0.0, 1.0)

    def __init__(self, classes: int = 0, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.channels = channels
        self.layers = nn.Sequential(nn.Linear(6 + classes, 16), nn.ReLU(), nn.Linear(16, channels * SIZE**2))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).sigmoid().reshape(-1, self.channels, SIZE, SIZE)


class Conditional(Painter):
    n_classes = 3

    def __init__(self) -> None:
        super().__init__(classes=3)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([z, c], dim=1))


class Own(Generator):
    """The contract by itself: a mapping, a W, nothing inherited."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.w_shape, self.image_shape = 4, (1, 5), (3, 8, 8)
        self.mapping, self.synthesis = nn.Linear(4, 5), nn.Linear(5, 3 * 64)

    def map(self, z, c=None, psi=1.0, cutoff=None):
        return self.mapping(z)

    def synthesize(self, w):
        return self.synthesis(w.flatten(1)).reshape(-1, 3, 8, 8)


def own() -> Own:
    torch.manual_seed(0)
    return Own()


def export(network: nn.Module, path: Path, batch: int | None = None) -> Path:
    """A .pt2 for any batch size, or for one."""
    inputs = [torch.zeros(batch or 2, 6)]
    if isinstance(network, Conditional):
        inputs.append(torch.zeros(batch or 2, 3))
    shapes = None if batch else tuple({0: torch.export.Dim("batch", max=1024)} for _ in inputs)
    torch.export.save(torch.export.export(network.eval(), tuple(inputs), dynamic_shapes=shapes), path)
    return path


def script(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(2, 6)), path)
    return path


def to_onnx(network: nn.Module, path: Path) -> Path:
    """An ONNX file written by hand, as PyTorch's exporter wants yet another package: the MLP of a Painter."""
    onnx = pytest.importorskip("onnx")
    make, first, last = onnx.helper, network.layers[0], network.layers[2]
    arrays = {"a": first.weight.T, "b": first.bias, "c": last.weight.T, "d": last.bias}
    constants = [onnx.numpy_helper.from_array(array.detach().numpy().copy(), name) for name, array in arrays.items()]
    shape = onnx.numpy_helper.from_array(np.array([-1, network.channels, SIZE, SIZE]), "shape")
    nodes = [
        make.make_node("Gemm", ["z", "a", "b"], ["e"]),
        make.make_node("Relu", ["e"], ["f"]),
        make.make_node("Gemm", ["f", "c", "d"], ["g"]),
        make.make_node("Sigmoid", ["g"], ["h"]),
        make.make_node("Reshape", ["h", "shape"], ["images"]),
    ]
    z = make.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 6])
    images = make.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", network.channels, SIZE, SIZE])
    graph = make.make_graph(nodes, "painter", [z], [images], [*constants, shape])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def module(path: Path, text: str) -> str:
    """A Python file that knows the generators above, as `--gan` takes it."""
    header = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nfrom small_generators import *\n"
    path.write_text(header + text)
    return f"{path}:load"
