"""A fitted mixture as the prior: latents are drawn from it in the block or space that it was fitted in.

A trained autoencoder has no prior of its own; what its encoder gave in training is all that it can draw. In the chart's
coordinates the rest of the density is a standard normal, so a latent is one of N(0, I) that is written to values of all
attributes, each of them drawn from the attribute's mixture.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError
from gmmedit.mixture.components import Mixture
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.writing import least_change_write
from gmmedit.run.fitted import read_chart, read_model
from gmmedit.runtime.commands import on_run
from gmmedit.spaces import Chart

STREAM = 1  # of random numbers beside those of the generator's own draws
FITS = ("mixture", "single")


@dataclass(frozen=True)
class MixturePrior:
    """The model and its chart, on the CPU."""

    model: AttributeMixture
    chart: Chart

    @torch.no_grad()
    def redraw(self, latents: Tensor, seeds: list[int]) -> Tensor:
        """Latents (N, D) whose part in the chart is drawn from the mixture, a seed each; the rest is kept.

        One at a time, as in products of several rows the last bits depend on their number.
        """
        return torch.cat([self.redraw_one(row, seed) for row, seed in zip(latents.split(1), seeds, strict=True)])

    def redraw_one(self, latent: Tensor, seed: int) -> Tensor:
        """A latent (1, D) with the draws of one seed."""
        source = np.random.RandomState([seed, STREAM])
        x = draw_normal(source, self.chart.dim)
        coordinates = self.model.coordinates
        mixtures = [self.model.gaussians.mixture(a) for a in range(len(self.model.layout.values))]
        if isinstance(coordinates, FullSpace):  # every attribute describes all of x
            return self.chart.carry(latent, draw_from(mixtures[source.randint(len(mixtures))], source))
        change = torch.cat([draw_from(mixture, source) for mixture in mixtures], dim=1) - coordinates(x)
        return self.chart.carry(latent, least_change_write(coordinates, x, slice(None), change))


def draw_normal(source: np.random.RandomState, dim: int) -> Tensor:
    """A standard normal vector (1, dim), float32."""
    return torch.from_numpy(source.randn(1, dim).astype(np.float32))


def draw_from(mixture: Mixture, source: np.random.RandomState) -> Tensor:
    """A sample (1, r) of a component that is drawn by the weights."""
    shares = mixture.log_weights().exp().double().cumsum(0)
    value = min(int(torch.searchsorted(shares, source.random_sample() * float(shares[-1]))), len(shares) - 1)
    factor = mixture.factor()[0 if mixture.tied else value]
    return mixture.means[value] + draw_normal(source, len(factor)) @ factor.T


def read_prior(path: Path, generator: str, recorded: str | None, run: Path | None = None) -> MixturePrior:
    """The prior in a mixture.h5 or single.h5.

    generator, recorded: fingerprints of the generator that latents are for, and of the file as it was; None: not known.
    run: whose latents were drawn from it; None: of no run.
    InputError: it is no such file, of another generator or of W, or has changed.
    """
    with artifacts.open(path) as fit:
        if fit.spec.kind not in FITS:
            raise InputError(f"{path} is a {fit.spec.kind} file, not a fit", hint="give a mixture.h5 or single.h5")
        if recorded not in (None, fit.fingerprint):
            again = "gmmedit sample --force"
            hint = f"run: {on_run(again, run) if run else again}"
            raise InputError(f"{path} has changed since latents were drawn from it", hint=hint)
        if (fit.spec.generator or {}).get("fingerprint") != generator:
            raise InputError(f"{path} is a fit of another generator", hint="give a fit of this --gan")
        if fit.spec.config.get("space") != "z":
            refit = f"run: {on_run('gmmedit fit-single --space z --force', path.parent)}"
            raise InputError(f"{path} was fitted in W, latents are drawn in Z", hint=refit)
        return MixturePrior(read_model(fit).eval(), read_chart(fit))


def record_prior(settings: SampleSettings) -> SampleSettings:
    """The settings with the fingerprint of the prior's file, if they name one. InputError: it is missing or damaged."""
    if settings.prior is None:
        return settings
    path = Path(settings.prior)
    if path.stem not in FITS and not path.exists():  # else the error names the command that makes it
        raise InputError(f"--prior {path} does not exist", hint="give a mixture.h5 or single.h5 of this --gan")
    with artifacts.open(path) as fit:
        found = {"prior": artifacts.network_source(settings.prior), "prior_fingerprint": fit.fingerprint}
        return settings.model_copy(update=found)
