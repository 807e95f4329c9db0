"""What the steps of a StyleGAN2 training need of its networks: latents, penalties, optimisers, growth."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.training.discriminator import Discriminator

Latents = tuple[Tensor, Tensor, Tensor]


def draw_latents(g: StyleGAN2, n: int, mixing: float) -> Latents:
    """W+ (n, L, w_dim), which rows (n,) are of one latent, and the mean w (w_dim,).

    The others, about a share `mixing` of them, have the styles of a second latent from a random layer on.
    """
    device = g.device
    z = torch.randn(2 * n, g.z_dim).to(device)
    w, other = g.mapping(z).chunk(2)
    layers = g.w_shape[0]
    cut = torch.randint(1, layers, (n, 1))
    cut = torch.where(torch.rand(n, 1) < mixing, cut, layers).to(device)
    first = torch.arange(layers, device=device) < cut  # (n, L)
    return torch.where(first[:, :, None], w[:, None], other[:, None]), first.all(dim=1), w.detach().mean(dim=0)


def path_lengths(images: Tensor, ws: Tensor) -> Tensor:
    """|J^T y| (n,) of images (n, C, R, R) made from ws (n, L, w_dim), for random images y, with gradients.

    Karras et al. 2020, equation 4, whose penalty is the squared deviation from the running mean.
    """
    noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def r1_penalty(d: Discriminator, real: Tensor, autocast: torch.autocast) -> Tensor:
    """|grad D|^2 / 2 on real images (n, C, R, R), the mean over them (Mescheder et al. 2018)."""
    real = real.detach().requires_grad_(True)
    with autocast:
        logits = d(real).float()
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def config_at(network: StyleGAN2Config, resolution: int) -> StyleGAN2Config:
    """The generator cut off at a resolution."""
    levels = [size for size in network.resolutions if size <= resolution]
    return replace(network, resolution=resolution, channels=network.channels[: len(levels)])


def copy_matching(larger: nn.Module, smaller: nn.Module) -> None:
    """Copy the tensors that have the same name and shape in both; the stem of a discriminator does not."""
    target, source = larger.state_dict(), smaller.state_dict()
    shared = {k: v for k, v in source.items() if k in target and target[k].shape == v.shape}
    larger.load_state_dict(shared, strict=False)


def make_lazy_adam(module: nn.Module, lr: float, every: int) -> torch.optim.Adam:
    """Adam corrected for a regulariser that is applied only every so many steps (StyleGAN2, appendix B)."""
    ratio = every / (every + 1)
    return torch.optim.Adam(
        [{"params": list(module.parameters()), "initial_lr": lr * ratio}],
        lr=lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8,
    )  # fmt: skip
