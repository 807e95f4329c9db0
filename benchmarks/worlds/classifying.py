"""Training of a small classifier of several attributes on moved and noisy images, seeded."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 64
Targets = Callable[[Tensor, Tensor], Tensor]  # moved images (N, 1, S, S) and labels (N,) to classes (N, A)


def train_classifier(
    network: nn.Module, images: Tensor, labels: Tensor, sizes: Sequence[int], targets: Targets, steps: int, seed: int
) -> None:
    """Adam on the sum of the attributes' cross-entropies; sizes: how many values each attribute has.

    Half of each batch is moved, and all of it is noisy.
    """
    torch.manual_seed(seed)
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, steps)
    network.train()
    for _ in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        batch = images[rows]
        batch = torch.cat([batch[: BATCH // 2], move(batch[BATCH // 2 :])])
        loss = cross_entropies(network(add_noise(batch)), targets(batch, labels[rows]), sizes)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    network.eval()


def cross_entropies(logits: Tensor, classes: Tensor, sizes: Sequence[int]) -> Tensor:
    """The sum over attributes of the mean cross-entropy of logits (N, K) with classes (N, A)."""
    parts = logits.split(list(sizes), dim=1)
    return sum((F.cross_entropy(part, classes[:, i]) for i, part in enumerate(parts)), logits.new_zeros(()))


@torch.no_grad()
def accuracies(network: nn.Module, images: Tensor, classes: Tensor, sizes: Sequence[int]) -> list[float]:
    """The share of right labels of each attribute."""
    logits = torch.cat([network(part) for part in images.split(250)])
    parts = logits.split(list(sizes), dim=1)
    return [float((part.argmax(1) == classes[:, i]).float().mean()) for i, part in enumerate(parts)]


def move(images: Tensor, turn: float = 0.15, shear: float = 0.15, scale: float = 0.1, shift: float = 0.08) -> Tensor:
    """Images (N, 1, S, S) in [-1, 1], turned (radians), sheared, scaled and shifted (shares of half a side)."""
    n = len(images)
    angle, lean = (2 * torch.rand(2, n) - 1) * torch.tensor([[turn], [shear]])
    size = 1 + (2 * torch.rand(n) - 1) * scale
    cos, sin = angle.cos() * size, angle.sin() * size
    matrix = torch.stack([cos, lean * cos - sin, sin, lean * sin + cos], 1).reshape(n, 2, 2)
    offset = (2 * torch.rand(n, 2, 1) - 1) * shift
    grid = F.affine_grid(torch.cat([matrix, offset], 2), list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1


def add_noise(images: Tensor, most: float = 0.15) -> Tensor:
    """Images (N, 1, S, S) in [-1, 1] with noise of a deviation from 0 to `most`."""
    return (images + most * torch.rand(len(images), 1, 1, 1) * torch.randn_like(images)).clamp(-1, 1)


def measure_stroke(images: Tensor) -> Tensor:
    """The stroke's mean width (N,) in pixels: twice the ink over the length of its outline."""
    ink = (images.clamp(-1, 1) + 1) / 2
    dx, dy = ink[..., 1:, 1:] - ink[..., 1:, :-1], ink[..., 1:, 1:] - ink[..., :-1, 1:]
    return 2 * ink.sum((1, 2, 3)) / (dx.square() + dy.square() + 1e-6).sqrt().sum((1, 2, 3))


def measure_slant(images: Tensor) -> Tensor:
    """The tangent (N,) of the angle by which the ink leans to the right, by its second moments."""
    ink = ((images.clamp(-1, 1) + 1) / 2)[:, 0]
    ink = ink / (ink.sum((1, 2), keepdim=True) + 1e-6)
    place = torch.arange(images.shape[2], dtype=ink.dtype)
    x, y = place - (ink.sum(1) * place).sum(1)[:, None], place - (ink.sum(2) * place).sum(1)[:, None]  # (N, S)
    mixed = torch.einsum("nyx,ny,nx->n", ink, y, x)
    return -mixed / (torch.einsum("nyx,ny->n", ink, y.square()) + math.exp(-10))
