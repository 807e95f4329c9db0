"""What is made of a trained IFcVAE-GAN: figures on held-out images, a sheet."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.training.labelled import Labels, spread

MEASURED = 1_024  # held-out images, at most


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
        error += float((network.decode(latents).cpu() - images).abs().mean((1, 2, 3)).sum())
    n = max(1, len(rows))
    shares = {a.name: round(share, 4) for a, share in zip(labels.attributes, (right / n).tolist(), strict=True)}
    return {"held_out_accuracy": shares, "held_out_error": round(error / n, 5), "held_out_images": len(rows)}


@torch.no_grad()
def make_sheet(network: IFcVAE, images: Tensor) -> np.ndarray:
    """The rows of `IFcVAETraining.sheet` for images (N, C, S, S), uint8 (rows, N, S, S, C)."""
    latents, units = network.encode(images), network.config.units
    rows = [images, network.decode(latents)]
    for unit in range(units):
        for value in (0.0, 1.0):
            edited = latents.clone()
            edited[:, unit] = value
            rows.append(network.decode(edited))
    random = torch.Generator().manual_seed(0)
    number = torch.multinomial(network.rates.cpu(), len(images), replacement=True, generator=random)
    attributes = torch.stack([number >> unit & 1 for unit in range(units)], dim=1)
    identity = torch.randn(len(images), network.config.identity, generator=random)
    rows.append(network.decode(torch.cat([attributes, identity], dim=1).to(latents)))
    return np.stack([to_bytes(as_shown(row).cpu()) for row in rows])
