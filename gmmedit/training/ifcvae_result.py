"""What is made of a trained IFcVAE-GAN: figures on held-out images, a sheet."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.training.held_out import measure_held_out
from gmmedit.training.labelled import Labels

MEASURED = 1_024  # held-out images, at most


def measure(network: IFcVAE, data: DataSet, labels: Labels) -> dict[str, Any]:
    """The figures of `measure_held_out`."""

    def reconstruct(images: Tensor) -> tuple[Tensor, Tensor]:
        latents = network.encode(images.to(network.rates.device))
        return (latents[:, : network.config.units] > 0.5).long(), network.decode(latents)

    return measure_held_out(reconstruct, data, labels, MEASURED)


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
