"""What an encoder of disentangled codes must exceed: a random network, principal components of pixels, VAEs."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.datasets import DataSet
from gmmedit.discovery.latents import step_random
from gmmedit.discovery.network import LONGEST, CodeConfig, make_network
from gmmedit.discovery.protocol import Encode
from gmmedit.discovery.varimax import varimax
from gmmedit.errors import InputError, nearest
from gmmedit.run.rendering import shrink
from gmmedit.runtime.execution import Execution

PCA_IMAGES = 1_000
VAE_BATCH, VAE_LR = 64, 1e-3
NAMES = ("random", "pca", "pca-varimax", "vae", "beta-vae")
BETAS = {"vae": 1.0, "beta-vae": 4.0}


@dataclass(frozen=True)
class ControlSettings:
    """code: J, the dimensions of every control. vae_steps: batches of 64 images that a VAE is trained on."""

    code: int = 10
    vae_steps: int = 1_000
    seed: int = 0


def make_control(name: str, data: DataSet, settings: ControlSettings, execution: Execution) -> Encode:
    """The control of that name. InputError: there is none. Images that a protocol may hold out are not used."""
    makers: dict[str, Callable[[], Encode]] = {
        "random": lambda: make_network(CodeConfig(data.image_shape, settings.code), settings.seed).eval(),
        "pca": lambda: fit_pca(data, settings, turned=False),
        "pca-varimax": lambda: fit_pca(data, settings, turned=True),
        **{vae: lambda beta=beta: train_vae(data, settings, beta, execution) for vae, beta in BETAS.items()},  # type: ignore[misc]
    }
    if name not in makers:
        raise InputError(f"unknown control {name!r}", hint=nearest(name, NAMES))
    return torch.no_grad()(makers[name]())


def training_rows(data: DataSet) -> np.ndarray:
    """The rows that are not held out."""
    return np.setdiff1d(np.arange(len(data)), data.held_out())


def fit_pca(data: DataSet, settings: ControlSettings, turned: bool) -> Encode:
    """The first principal components of pixels, of images of at most 32 pixels a side; `turned` by varimax."""
    rows = np.random.default_rng(settings.seed).choice(training_rows(data), PCA_IMAGES)
    pixels = shrink(data.images(rows), 32).flatten(1).double()
    mean = pixels.mean(0)
    centred = pixels - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # fewer images than pixels: faster than of the covariance
    axes = F.normalize(vectors.T.flip(0)[: settings.code] @ centred, dim=1)
    if turned:
        spread = values.flip(0)[: settings.code].clamp_min(1e-12).sqrt()
        axes = varimax(axes.T * spread).T @ (axes / spread[:, None])
    return lambda images: (shrink(images, 32).flatten(1).double() - mean) @ axes.T


class VAE(nn.Module):
    """The encoder of a discovery with twice the codes (means, log-variances), and its mirror image as a decoder."""

    def __init__(self, image_shape: tuple[int, int, int], code: int, seed: int) -> None:
        super().__init__()
        self.encoder = make_network(CodeConfig(image_shape, 2 * code), seed)
        config = self.encoder.config
        widths, (height, width) = config.widths[::-1], config.input_size
        unit = 2 ** len(widths)
        self.start = (widths[0], height // unit, width // unit)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.hidden = nn.Sequential(
                nn.Linear(code, config.features), nn.LeakyReLU(0.01),
                nn.Linear(config.features, widths[0] * self.start[1] * self.start[2]), nn.LeakyReLU(0.01),
            )  # fmt: skip
            outputs = (*widths[1:], image_shape[0])
            self.layers = nn.ModuleList(
                nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)
                for n_in, n_out in zip(widths, outputs, strict=True)
            )

    def forward(self, images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Reconstructions (N, C, h, w) and the divergence (N,) from the prior, in nats."""
        mean, log = self.encoder(images).chunk(2, 1)
        z = mean + (log / 2).exp() * torch.randn(mean.shape, generator=random).to(mean)
        x = self.hidden(z).unflatten(1, self.start)
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.01)
        return torch.tanh(self.layers[-1](x)), 0.5 * (mean.square() + log.exp() - 1 - log).sum(1)


def train_vae(data: DataSet, settings: ControlSettings, beta: float, execution: Execution) -> Encode:
    """The mean code of a VAE (Kingma and Welling 2014), or of a beta-VAE (Higgins et al. 2017).

    The loss is the squared error of all pixels, of images of at most 64 pixels a side, in units of a variance of 0.1,
    and `beta` times the divergence.
    """
    rows = training_rows(data)
    vae = VAE(data.image_shape, settings.code, settings.seed)
    adam = torch.optim.Adam(vae.parameters(), lr=VAE_LR)
    for step in range(settings.vae_steps):
        execution.stop.check()
        random = step_random(settings.seed, 11, step)
        chosen = rows[torch.randint(len(rows), (VAE_BATCH,), generator=random).numpy()]
        images = shrink(data.images(chosen), LONGEST)
        again, divergence = vae(images, random)
        error = (F.interpolate(again, images.shape[2:]) - images).square().flatten(1).sum(1)
        loss = (error / 0.2 + beta * divergence).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        execution.tick(step + 1, settings.vae_steps, f"VAE, loss {loss.item():.1f}")
    encoder = copy.deepcopy(vae.encoder).eval()
    return lambda images: encoder(images)[:, : settings.code]
