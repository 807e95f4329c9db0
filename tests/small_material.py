"""What editors are made from, by hand: Gaussian latents and labels whose directions are known."""

import math

import torch
from torch import Tensor

from gmmedit.editors.base import Editor, Material, RawLatent
from gmmedit.mixture import Layout
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.model import AttributeMixture

D = 6
APART = 2 * math.sqrt(2 / math.pi)  # distance of the means of a standard normal's two halves
LAYOUT = Layout((2, 2, 3))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def directions() -> Tensor:
    """(5, D) unit vectors: what the two two-valued attributes and three colours follow; the first two are 53° apart."""
    rows = torch.eye(D)[:5]
    rows[1] = 0.6 * rows[0] + 0.8 * rows[1]
    return rows


def logits_of(latents: Tensor) -> Tensor:
    """(N, 7): log-odds 4 x'd of the two-valued ones, centred scores 4 x'd of the colours."""
    first, second, *colours = 4 * (latents @ directions().T).T
    pairs = [-first / 2, first / 2, -second / 2, second / 2]
    return torch.stack([*pairs, *(torch.stack(colours) - torch.stack(colours).mean(0))], 1)


def material(
    latents: Tensor,
    logits: Tensor,
    layout: Layout = LAYOUT,
    space: str = "w",
    styles: list[tuple[int, Tensor, bool]] | None = None,
    layers: int = 1,
    seed: int = 0,
) -> Material:
    """Latents (N, D) are their own coordinates; the mixture is there and unfitted."""
    whole = FullSpace(latents.shape[1], layout.values)
    return Material(
        space=space,
        latents=latents,
        labels=torch.cat([logits[:, c].softmax(1) for c in layout.columns], 1),
        logits=logits,
        layout=layout,
        styles=styles or [],
        layers=layers,
        chart=RawLatent(),
        model=AttributeMixture(whole, Gaussians(whole.layout)),
        optimisation=None,
        seed=seed,
    )


def offset(editor: Editor, latents: Tensor, category: int, away: bool = False) -> Tensor:
    """`Editor.offset` of latents (N, D) that have one layer, in the editor's coordinates."""
    return editor.offset(editor.chart.to_x(latents[:, None]), category, away)[:, 0]


def edited(editor: Editor, latents: Tensor, category: int, strength: float) -> Tensor:
    """Latents (N, D), moved."""
    return editor.trajectory(latents[:, None], category)(strength)[:, 0]


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=-1)
