"""What is made of a trained IFcVAE-GAN: coordinates of its prior, figures on held-out images, a sheet."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import RunError
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.training.labelled import Labels, spread

MEASURED = 1_024  # held-out images, at most
WHITENED = 4_096  # training images, at most, whose z get mean 0 and covariance 1
DIVERGED = "train with another --seed in another --out, or check the data"


@torch.no_grad()
def whiten_identity(network: IFcVAE, data: DataSet, labels: Labels) -> IFcVAE:
    """A copy in whose coordinates draws of training images' z have mean 0 and covariance 1, as the prior has.

    The divergence alone leaves them correlated. The linear layers that make z and that take it are changed, so that
    encoding and decoding an image gives the same as before. RunError: the training has diverged.
    """
    device = network.rates.device
    rows = np.array_split(spread(labels.train, WHITENED), 32)
    parts = [network.encoder(data.images(part).to(device)) for part in rows if len(part)]
    means = torch.cat([part[0] for part in parts]).double()
    variance = torch.cat([part[1] for part in parts]).double().exp().mean(0)
    factor, failed = torch.linalg.cholesky_ex(torch.cov(means.T) + variance.diag())  # z = mean + factor x
    if failed or not factor.isfinite().all():
        raise RunError("ifcvae-gan: its codes of the training images stopped being finite", hint=DIVERGED)
    whitened, units, size = copy.deepcopy(network), network.config.units, network.config.identity
    head, start = whitened.encoder.identity, whitened.decoder.start
    shifted = torch.cat([head.weight[:size], (head.bias[:size] - means.mean(0))[:, None]], dim=1).double()
    solved = torch.linalg.solve_triangular(factor, shifted, upper=False).float()
    head.weight[:size], head.bias[:size] = solved[:, :-1], solved[:, -1]
    taken = start.weight[:, units:].double()
    start.bias.add_((taken @ means.mean(0)).float())
    start.weight[:, units:] = (taken @ factor).float()
    return whitened


@torch.no_grad()
def measure_held_out(network: IFcVAE, data: DataSet, labels: Labels) -> dict[str, Any]:
    """On held-out images, at most MEASURED: the share of correct labels by attribute, and the mean absolute error of
    reconstructions, for pixels in [-1, 1]."""
    rows = spread(labels.held_out, MEASURED)
    columns, device = [data.attributes.index(attribute) for attribute in labels.attributes], network.rates.device
    right, error = torch.zeros(len(columns)), 0.0
    for part in np.array_split(rows, -(-len(rows) // 64)) if len(rows) else []:
        images, values, _ = data.batch(part)
        latents = network.encode(images.to(device))
        units = network.config.units
        right += ((latents[:, :units].cpu() > 0.5) == (values[:, columns] == 1)).sum(0)
        error += float((network.decoder(latents).cpu() - images).abs().mean((1, 2, 3)).sum())
    n = max(1, len(rows))
    shares = {a.name: round(share, 4) for a, share in zip(labels.attributes, (right / n).tolist(), strict=True)}
    return {"held_out_accuracy": shares, "held_out_error": round(error / n, 5), "held_out_images": len(rows)}


@torch.no_grad()
def make_sheet(network: IFcVAE, images: Tensor) -> np.ndarray:
    """The rows of `IFcVAETraining.sheet` for images (N, C, S, S), uint8 (rows, N, S, S, C)."""
    latents, units = network.encode(images), network.config.units
    rows = [images, network.decoder(latents)]
    for unit in range(units):
        for value in (0.0, 1.0):
            edited = latents.clone()
            edited[:, unit] = value
            rows.append(network.decoder(edited))
    random = torch.Generator().manual_seed(0)
    number = torch.multinomial(network.rates.cpu(), len(images), replacement=True, generator=random)
    attributes = torch.stack([number >> unit & 1 for unit in range(units)], dim=1)
    identity = torch.randn(len(images), network.config.identity, generator=random)
    rows.append(network.decoder(torch.cat([attributes, identity], dim=1).to(latents)))
    return np.stack([to_bytes(as_shown(row).cpu()) for row in rows])
