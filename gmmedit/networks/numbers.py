"""Attributes that are numbers, as causes and effects: u = logit(number in [0, 1]) = b + m W + e, w the number itself.

The noise e has the quantiles of what was left over in the labels, so that it is any distribution, and a latent's noise
is a subtraction: e = u - b - m W. The message m is the number in deviations from its mean, so an effect is linear in
its causes and bent by the logistic function only: intensity = low + range * sigmoid(b + a * thickness + e).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gmmedit.networks.scales import Scale

MARGIN = 0.005  # of the range, that numbers stay away from the ends of the logistic function
REACH, KNOTS = 3.2, 33  # of the noise's quantiles: at KNOTS standard normal numbers in [-REACH, REACH]


class Numbers(nn.Module):
    """n numbers. w (N, n): in deviations from the mean; u (N, n): logits; share (N, n): in units of the range."""

    quantiles: Tensor

    def __init__(self, scales: Sequence[Scale]):
        super().__init__()
        self.scales = tuple(scales)
        self.register_buffer("quantiles", torch.linspace(-REACH, REACH, KNOTS).repeat(len(scales), 1))
        self.log_deviation = nn.Parameter(torch.zeros(len(scales)))  # of a normal noise, while edges are learned

    @property
    def centre(self) -> Tensor:
        """The mean (n,), as a share."""
        means = [scale.share(scale.mean) for scale in self.scales]
        return torch.tensor(means, dtype=torch.float32, device=self.quantiles.device)

    @property
    def spread(self) -> Tensor:
        """The deviation (n,), as a share."""
        deviations = [scale.deviation / (scale.high - scale.low) for scale in self.scales]
        return torch.tensor(deviations, dtype=torch.float32, device=self.quantiles.device)

    def standardise(self, share: Tensor) -> Tensor:
        """Shares (N, n) as w (N, n)."""
        return (share - self.centre) / self.spread

    def share(self, w: Tensor) -> Tensor:
        """w (N, n) as shares (N, n), kept in the range and half of the margin."""
        return (self.centre + self.spread * w).clamp(-MARGIN / 2, 1 + MARGIN / 2)

    def score(self, share: Tensor) -> Tensor:
        """Shares (N, n) as u (N, n)."""
        return torch.logit((share + MARGIN) / (1 + 2 * MARGIN))

    def open(self, u: Tensor) -> Tensor:
        """u (N, n) as w (N, n)."""
        return self.standardise((1 + 2 * MARGIN) * torch.sigmoid(u) - MARGIN)

    def close(self, w: Tensor) -> Tensor:
        """The inverse of `open`."""
        return self.score(self.share(w))

    def classes(self, w: Tensor) -> Tensor:
        """The class (N, n) of each w (N, n)."""
        borders = [torch.tensor([scale.share(each) for each in scale.borders]) for scale in self.scales]
        share = (self.centre + self.spread * w).T.contiguous()
        return torch.stack([torch.bucketize(row, each.to(row)) for row, each in zip(share, borders, strict=True)], 1)

    def class_scores(self, mean: Tensor, log_variance: Tensor) -> list[Tensor]:
        """Log-probabilities (N, C) of each number's classes if w is normal with mean and log-variance (N, n)."""
        found, deviation = [], (0.5 * log_variance).exp()
        for place, scale in enumerate(self.scales):
            borders = self.standardise_one(torch.tensor([scale.share(each) for each in scale.borders]), place)
            below = (borders.to(mean) - mean[:, place, None]) / deviation[:, place, None]  # (N, C - 1)
            far = below.new_full((len(below), 1), torch.inf)
            ends = torch.cat([-far, below, far], dim=1)
            found.append(log_between(ends[:, :-1], ends[:, 1:]))
        return found

    def standardise_one(self, share: Tensor, place: int) -> Tensor:
        """Shares (n,) of the number at a place as w."""
        return (share.to(self.centre) - self.centre[place]) / self.spread[place]

    def noise(self, normal: Tensor) -> Tensor:
        """Standard normal numbers (N, n) to noise (N, n), by its quantiles, linear between them."""
        place = (normal.clamp(-REACH, REACH) + REACH) * ((KNOTS - 1) / (2 * REACH))
        left = place.floor().clamp(max=KNOTS - 2)
        knots = self.quantiles.T  # (KNOTS, n)
        lower, upper = (torch.gather(knots, 0, (left + step).long()) for step in (0, 1))
        return lower + (place - left) * (upper - lower)

    @torch.no_grad()
    def set_noise(self, residuals: Tensor) -> None:
        """Take the quantiles of residuals (N, n)."""
        levels = torch.special.ndtr(torch.linspace(-REACH, REACH, KNOTS, dtype=torch.float64)).numpy()
        found = np.quantile(residuals.double().cpu().numpy(), levels, axis=0).T
        self.quantiles.copy_(torch.from_numpy(found))

    def log_likelihood(self, residuals: Tensor) -> Tensor:
        """The mean log-density (n,) of residuals (N, n) under a normal noise, without its constant."""
        return -self.log_deviation - 0.5 * (residuals * (-self.log_deviation).exp()).square().mean(dim=0)


def log_between(low: Tensor, high: Tensor) -> Tensor:
    """The log-probability that a standard normal number is between low and high, both of any shape, low < high."""
    swap = low + high > 0  # the lower tail is exact where both are far from 0
    low, high = torch.where(swap, -high, low), torch.where(swap, -low, high)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return upper + torch.log1p(-(lower - upper).exp().clamp(max=1 - 1e-7))
