"""The mapping network z -> w that StyleGAN2 and StyleGAN3 share (Karras et al. 2019, 2020, 2021)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 8  # from which matrix products round alike for every number of rows


@dataclass(frozen=True, kw_only=True)
class MappingConfig:
    """Sizes of a mapping network, and its learning rate, which scales the stored weights."""

    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0  # classes; 0: unconditional
    mapping_layers: int = 8
    mapping_width: int | None = None  # of the hidden layers, w_dim by default
    mapping_lr: float = 0.01
    embedding: int | None = None  # size of a class's embedding, w_dim by default


def gaussian(*shape: int, lr: float = 1.0) -> Tensor:
    """Initial weights: standard normal, scaled for a learning rate (Karras et al. 2018, equalised learning rate).

    On the meta device they are left uninitialised: drawing them there would load PyTorch's compiler.
    """
    weights = torch.empty(shape)
    return weights if weights.is_meta else weights.normal_().div_(lr)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of x (N, I) whose rows do not depend on N: products of fewer than ROWS rows round differently."""
    few = max(ROWS - len(x), 0)
    return F.linear(F.pad(x, (0, 0, 0, few)) if few else x, weight, bias)[: len(x)]


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The dtype of autocast on x's device, x's own if autocast is off."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class FullyConnected(nn.Module):
    """A linear layer with equalised learning rate, leaky ReLU (slope 0.2, gain sqrt 2) if `activate`."""

    def __init__(self, n_in: int, n_out: int, lr: float = 1.0, activate: bool = False, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(gaussian(n_out, n_in, lr=lr))
        self.bias = nn.Parameter(torch.full((n_out,), bias / lr))
        self.weight_gain, self.bias_gain, self.activate = lr / math.sqrt(n_in), lr, activate

    @property
    def matrix(self) -> Tensor:
        """The matrix (n_out, n_in) that multiplies x, the gain included."""
        return self.weight * self.weight_gain

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in) to (N, n_out)."""
        x = linear(x * self.weight_gain, self.weight, self.bias * self.bias_gain)
        return F.leaky_relu(x, 0.2) * math.sqrt(2) if self.activate else x


def normalise(x: Tensor) -> Tensor:
    """Scale each row to a mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """z (N, z_dim), c (N, c_dim) to w (N, w_dim); keeps the moving average of w."""

    w_avg: Tensor

    def __init__(self, config: MappingConfig):
        super().__init__()
        self.layers = config.mapping_layers
        embedding = config.embedding or config.w_dim
        width = config.mapping_width or config.w_dim
        n_in = config.z_dim + (embedding if config.c_dim else 0)
        self.embed = FullyConnected(config.c_dim, embedding) if config.c_dim else None
        for i in range(self.layers):
            n_out = config.w_dim if i == self.layers - 1 else width
            self.add_module(f"fc{i}", FullyConnected(n_in, n_out, config.mapping_lr, activate=True))
            n_in = n_out
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z (N, z_dim) and one-hot classes c (N, c_dim) to w (N, w_dim), in z's precision even under autocast."""
        with torch.autocast(z.device.type, enabled=False):  # cheap, and everything else depends on it
            return self.map_latents(z, c)

    def map_latents(self, z: Tensor, c: Tensor | None) -> Tensor:
        """`forward` without the guard against autocast. ValueError: conditional, and no class is given."""
        x = normalise(z)
        if self.embed is not None:
            if c is None:
                raise ValueError("this generator is conditional: every latent needs a class")
            x = torch.cat([x, normalise(self.embed(c))], dim=1)
        for i in range(self.layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x
