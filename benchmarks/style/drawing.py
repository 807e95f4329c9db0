"""Images in new styles: codes drawn from a Gaussian mixture that is fitted to the encoded styles."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.generators.saae import SAAEGenerator
from gmmedit.mixture.components import Mixture
from gmmedit.run.prior import draw_from
from gmmedit.training.saae_result import group_codes

GROUPS = 8
PART = 128


@torch.no_grad()
def draw_latents(generator: SAAEGenerator, n: int) -> tuple[Tensor, Tensor]:
    """Images (n, C, H, W) and contents (n,); the mixture has one covariance, and its groups are those of Lloyd."""
    codes = torch.from_numpy(generator.codes)
    centres, _ = group_codes(codes, GROUPS)
    labels = torch.nn.functional.one_hot(torch.cdist(codes, centres).argmin(1), GROUPS).float()
    mixture = Mixture(GROUPS, codes.shape[1])
    mixture.fit_moments_(codes, labels)
    rows = generator.draw(range(n))
    rows[:, generator.config.blocks["style"]] = torch.cat(
        [draw_from(mixture, np.random.RandomState([seed, 1])) for seed in range(n)]
    )
    images = torch.cat([generator.synthesize(part) for part in rows.split(PART)])
    return images, rows[:, generator.config.blocks["content"]].argmax(1)
