"""StyleSpace (Wu et al. 2021): for each category the one style channel that indicates it best, edited alone.

A channel is a row of the affine map from a layer of W+ to the styles that it makes. The change of w that moves it and
no other style of that layer is a column of the map's pseudo-inverse; where a layer makes more styles than w has
dimensions there is none, and such channels, which the original edits by setting styles directly, are left out.
"""

from collections import defaultdict

import torch
from torch import Tensor

from gmmedit.editors.base import Material, Unsuitable
from gmmedit.editors.baselines.linear import LinearEditor, target_scores
from gmmedit.editors.baselines.unsupervised import check_styles

POSITIVES, FEWEST = 0.01, 30  # share and least number of the samples that are the examples of a category
REACH = 60.0  # standard deviations of the channel that strength 1 goes; few labels flip before the authors' 20
ALONE = 1e-3  # largest change of another channel while one changes by 1
RANK = 1e-6  # share of the largest singular value that a direction of w needs


def fit_stylespace(material: Material) -> LinearEditor:
    """The best channel of each category. Unsuitable: in Z, without styles, or if no channel can be moved alone."""
    check_styles("stylespace", material)
    layers, moves, rows = find_isolated_channels(material.styles)
    if not len(rows):
        raise Unsuitable("stylespace: no style channel can be moved alone, every layer has more of them than W has")
    rows, moves = rows.to(material.latents), moves.to(material.latents)
    codes = material.latents @ rows.T
    mean, spread = codes.mean(0), codes.std(0, correction=0).clamp_min(1e-12)
    count = min(max(FEWEST, int(POSITIVES * len(codes))), len(codes))
    steps = torch.zeros(material.layout.categories, material.layers, material.latents.shape[1])
    for category, score in enumerate(target_scores(material.logits, material.layout).T):
        signal = signal_to_noise((codes[score.topk(count).indices] - mean) / spread)
        best = int(signal.abs().argmax())
        steps[category, layers[best]] = REACH * spread[best] * signal[best].sign() * moves[best]
    return LinearEditor(steps)


def signal_to_noise(examples: Tensor) -> Tensor:
    """The mean over the standard deviation (C,) of the channels (N, C), standardised over all samples."""
    return examples.mean(0) / examples.std(0, correction=0).clamp_min(1e-12)


def find_isolated_channels(styles: list[tuple[int, Tensor, bool]]) -> tuple[list[int], Tensor, Tensor]:
    """The channels that can be moved alone: layers, the changes of w (C, D) that move each by 1, and rows (C, D).

    Channels of the layers that make the image (toRGB) are held but not returned: they change colours everywhere.
    """
    readers = defaultdict(list)
    for layer, matrix, to_image in styles:
        readers[layer].append((matrix.double(), to_image))
    layers: list[int] = []
    moves, rows = [], []
    for layer, matrices in readers.items():
        stacked = torch.cat([matrix for matrix, _ in matrices])
        inverse = torch.linalg.pinv(stacked, rtol=RANK)  # (D, C)
        strays = (stacked @ inverse - torch.eye(len(stacked)).to(stacked)).abs().amax(0)
        offered = torch.cat([torch.full((len(matrix),), not to_image) for matrix, to_image in matrices])
        chosen = (strays < ALONE) & offered.to(strays.device)
        layers += [layer] * int(chosen.sum())
        moves.append(inverse.T[chosen])
        rows.append(stacked[chosen])
    return layers, torch.cat(moves), torch.cat(rows)
