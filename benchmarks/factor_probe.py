"""What a fresh network reads of the attributes from an IFcVAE-GAN's identity."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.training.ifcvae_gan import make_adversary, reparameterise

BATCH = 128
STEPS, WIDTH, STEP_BATCH = 600, 128, 256


def read_identity(
    network: IFcVAE, data: DataSet, train: np.ndarray, held_out: np.ndarray, columns: list[int], draws: bool
) -> list[float]:
    """Balanced accuracy on held-out rows, by attribute, of a network that trained on other rows; 0.5: it reads nothing.

    draws: of draws of z, which the decoder learned from; else of its mean, where details that are only seen with an
    attribute are without noise.
    """
    seen, y = encode_identity(network, data, train, columns)
    unseen, truth = encode_identity(network, data, held_out, columns)
    random = torch.Generator().manual_seed(0)
    pool = draw_identity(network, seen, random, draws)
    mean, deviation = pool.mean(0), pool.std(0).clamp_min(1e-4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reader = make_adversary(pool.shape[1], WIDTH, len(columns))
    adam = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.02)
    weight = (1 - y.mean(0)) / y.mean(0)
    for _ in range(STEPS):
        chosen = torch.randint(len(seen), (STEP_BATCH,), generator=random)
        z = (draw_identity(network, seen[chosen], random, draws) - mean) / deviation
        loss = F.binary_cross_entropy_with_logits(reader(z), y[chosen], pos_weight=weight)
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        guesses = reader.eval()((draw_identity(network, unseen, random, draws) - mean) / deviation) > 0
    right = (guesses == (truth == 1)).float()
    halves = [[right[truth[:, i] == value, i].mean() for value in (0, 1)] for i in range(len(columns))]
    return [float(no + yes) / 2 for no, yes in halves]


@torch.no_grad()
def draw_identity(network: IFcVAE, found: Tensor, random: torch.Generator, draws: bool) -> Tensor:
    """Identities (n, nz) of draws of z, or of its means; found: as `encode_identity` gives it."""
    size = network.config.identity
    mean, log_variance, attributes = found.tensor_split([size, 2 * size], dim=1)
    return network.alignment(reparameterise(mean, log_variance, random) if draws else mean, attributes)


@torch.no_grad()
def encode_identity(network: IFcVAE, data: DataSet, rows: np.ndarray, columns: list[int]) -> tuple[Tensor, Tensor]:
    """[means | log-variances | inferred attributes] of z (n, 2 nz + K) of the rows, and their attributes (n, K)."""
    parts = []
    for part in np.array_split(rows, -(-len(rows) // BATCH)):
        images, labels, _ = data.batch(part)
        mean, log_variance, log_odds = network.encoder(images)
        parts.append((torch.cat([mean, log_variance, log_odds.sigmoid()], dim=1), labels[:, columns].float()))
    found, y = zip(*parts, strict=True)
    return torch.cat(found), torch.cat(y)
