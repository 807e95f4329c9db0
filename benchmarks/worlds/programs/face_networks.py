"""The face networks of the npm package @vladmandic/face-api (MIT), written anew for PyTorch.

All take images (N, 3, H, W) in [-1, 1] and resize them. Names of parameters follow the package's; a convolution's
padding is TensorFlow's "same", which is asymmetric at stride 2.
"""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

MEAN = (122.782, 117.001, 104.298)  # of RGB in [0, 255]
HAPPY = 1  # neutral, happy, sad, angry, fearful, disgusted, surprised


class Conv(nn.Module):
    """A convolution, with TensorFlow's padding "same" or without padding."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, same: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in, size, size))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.stride, self.same = stride, same

    def forward(self, x: Tensor) -> Tensor:
        x = pad_same(x, self.weight.shape[2], self.stride) if self.same else x
        return F.conv2d(x, self.weight, self.bias, self.stride)


class Separable(nn.Module):
    """A 3x3 convolution of each channel, then a 1x1 convolution."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(torch.zeros(n_in, 1, 3, 3))
        self.weight = nn.Parameter(torch.zeros(n_out, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(pad_same(x, 3, self.stride), self.depthwise, None, self.stride, groups=len(self.depthwise))
        return F.conv2d(x, self.weight, self.bias)


def pad_same(x: Tensor, size: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's padding "same" of a square image: the output has ceil(side / stride) pixels a side."""
    side = x.shape[2]
    missing = max((-(-side // stride) - 1) * stride + size - side, 0)
    low, high = missing // 2, missing - missing // 2
    return F.pad(x, (low, high, low, high), value=value) if missing else x


def prepare(images: Tensor, side: int) -> Tensor:
    """Images in [-1, 1] resized and normalised as the package does."""
    mean = torch.tensor(MEAN, device=images.device)[None, :, None, None]
    images = F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
    return ((images + 1) * 127.5 - mean) / 255


class DenseBlock(nn.Module):
    """Convolutions whose outputs are summed before each activation; the first one halves the size."""

    def __init__(self, n_in: int, n_out: int, n: int) -> None:
        super().__init__()
        self.conv0 = Conv(3, n_out, 3, 2) if n_in == 3 else Separable(n_in, n_out, 2)
        self.rest = [f"conv{i}" for i in range(1, n)]
        for name in self.rest:
            self.add_module(name, Separable(n_out, n_out))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv0(x))
        total = x
        for name in self.rest:
            total = total + self.get_submodule(name)(x)
            x = F.relu(total)
        return x


class DenseNet(nn.Module):
    """FaceFeatureExtractor and a linear layer: landmarks (136) or expressions (7). `tiny`: three blocks of three."""

    def __init__(self, n_out: int, tiny: bool = False) -> None:
        super().__init__()
        widths = [3, 32, 64, 128] + ([] if tiny else [256])
        for i, (n_in, width) in enumerate(pairwise(widths)):
            self.add_module(f"dense{i}", DenseBlock(n_in, width, 3 if tiny else 4))
        self.blocks = len(widths) - 1
        self.fc = nn.Linear(widths[-1], n_out)

    def forward(self, images: Tensor) -> Tensor:
        x = prepare(images, 112)
        for i in range(self.blocks):
            x = self.get_submodule(f"dense{i}")(x)
        return self.fc(x.mean((2, 3)))


class Landmarks(nn.Module):
    """The 68 points (N, 68, 2), x and y in [0, 1] of the image."""

    def __init__(self, tiny: bool) -> None:
        super().__init__()
        self.network = DenseNet(136, tiny)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).reshape(-1, 68, 2)


class ReductionBlock(nn.Module):
    """Two separable convolutions and a pool beside a 1x1 convolution: halves the size."""

    def __init__(self, n_in: int, n_out: int, activate: bool = True) -> None:
        super().__init__()
        self.separable_conv0, self.separable_conv1 = Separable(n_in, n_out), Separable(n_out, n_out)
        self.expansion_conv = Conv(n_in, n_out, 1, 2)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        y = self.separable_conv0(F.relu(x) if self.activate else x)
        y = self.separable_conv1(F.relu(y))
        return F.max_pool2d(pad_same(y, 3, 2, value=-torch.inf), 3, 2) + self.expansion_conv(x)


class MainBlock(nn.Module):
    """Three separable convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.separable_conv0 = Separable(width, width)
        self.separable_conv1 = Separable(width, width)
        self.separable_conv2 = Separable(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.separable_conv0(F.relu(x))
        y = self.separable_conv1(F.relu(y))
        return x + self.separable_conv2(F.relu(y))


class AgeGender(nn.Module):
    """TinyXception: age in years (N,) and the log-odds of male (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.entry_flow = nn.ModuleDict(
            {
                "conv_in": Conv(3, 32, 3, 2),
                "reduction_block_0": ReductionBlock(32, 64, activate=False),
                "reduction_block_1": ReductionBlock(64, 128),
            }
        )
        self.middle_flow = nn.ModuleDict({f"main_block_{i}": MainBlock(128) for i in range(2)})
        self.exit_flow = nn.ModuleDict(
            {"reduction_block": ReductionBlock(128, 256), "separable_conv": Separable(256, 512)}
        )
        self.fc = nn.ModuleDict({"age": nn.Linear(512, 1), "gender": nn.Linear(512, 2)})

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.entry_flow["conv_in"](prepare(images, 112)))
        x = self.entry_flow["reduction_block_1"](self.entry_flow["reduction_block_0"](x))
        for block in self.middle_flow.values():
            x = block(x)
        x = F.relu(self.exit_flow["separable_conv"](self.exit_flow["reduction_block"](x))).mean((2, 3))
        gender = self.fc["gender"](x)  # male, female
        return self.fc["age"](x)[:, 0], gender[:, 0] - gender[:, 1]


class Residual(nn.Module):
    """Two convolutions beside the identity, which is pooled and padded with zero channels where `down`."""

    def __init__(self, n_in: int, n_out: int, down: bool = False) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_out, 3, 2, same=False) if down else Conv(n_in, n_out, 3)
        self.conv2 = Conv(n_out, n_out, 3)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return F.relu(x + y)


class Identity(nn.Module):
    """dlib's ResNet of 128 identity features (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = Conv(3, 32, 7, 2, same=False)
        self.order: list[str] = []
        before = 32
        for width, n in ((32, 3), (64, 3), (128, 2), (256, 2)):
            if width > 32:
                self.add(f"conv{width}_down", Residual(before, width, down=True))
            for i in range(1, n + 1):
                self.add(f"conv{width}_{i}", Residual(width, width))
            before = width
        self.add("conv256_down_out", Residual(256, 256, down=True))
        self.fc = nn.Linear(256, 128, bias=False)

    def add(self, name: str, block: Residual) -> None:
        self.order.append(name)
        self.add_module(name, block)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv32_down(prepare(images, 150))), 3, 2)
        for name in self.order:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))


def load_network(name: str) -> nn.Module:
    """age_gender, expression, landmarks, landmarks_tiny or identity, with the weights beside this file."""
    made = {
        "age_gender": AgeGender, "expression": lambda: DenseNet(7), "identity": Identity,
        "landmarks": lambda: Landmarks(False), "landmarks_tiny": lambda: Landmarks(True),
    }[name]()  # fmt: skip
    inner = made.network if isinstance(made, Landmarks) else made
    inner.load_state_dict(load_file(Path(__file__).with_name(f"{name}.safetensors")))
    return made.eval().requires_grad_(False)
