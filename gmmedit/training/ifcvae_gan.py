"""Training of IFcVAE-GAN: an autoencoder whose latent holds attributes apart from the identity.

After Creswell et al. 2017, "Adversarial information factorization": an encoder gives z by reparameterisation and the
attributes, a decoder takes both, an adversary reads the attributes from z, a discriminator reads reality from images.
Beyond the paper's code: all losses are means over images, the label consistency has gradients to the decoder, and the
encoder aims at the adversary's confusion, which is bounded. Step t draws everything from a generator seeded by
(seed, t), so that a resumed run gives the same result.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from gmmedit.datasets import DataSet
from gmmedit.datasets.streaming import Ahead, RowOrder
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.training.base import Trainer, move_average
from gmmedit.training.discriminator import Discriminator
from gmmedit.training.ifcvae_alignment import align_identity
from gmmedit.training.ifcvae_result import make_sheet
from gmmedit.training.ifcvae_settings import IFcVAESettings
from gmmedit.training.labelled import Labels, spread
from gmmedit.training.schedules import share_kept

SHEET_COLUMNS = 12
ALIGNED_FOR_SHEETS = 2_048  # training images, at most
UNIT_PAIRS = 256  # training images whose mean difference is the unit of pixels
WARM_UP, FALL = 0.02, 0.6  # shares of the training until which the rate rises, from which on it falls
LAST_RATE = 0.05
ROWS_REMEMBERED = 3_000  # by the moments of z


class IFcVAETraining(Trainer):
    """Both networks, their moving average (the result), adversary, discriminator, and their optimisers."""

    name = "ifcvae-gan"
    stateful = ("network", "average", "moments", "adversary", "d", "adam", "a_adam", "d_adam")

    def __init__(self, settings: IFcVAESettings, data: DataSet, labels: Labels, device: str, bf16: bool) -> None:
        self.settings, self.data, self.labels, self.device, self.bf16 = settings, data, labels, device, bf16
        self.batch, self.steps = settings.batch, -(-settings.images // settings.batch)
        self.columns = [data.attributes.index(attribute) for attribute in labels.attributes]
        config = settings.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = IFcVAE(config)
            adversary = make_adversary(config.identity, settings.adversary_width, config.units)
            discriminator = Discriminator(config.image_shape[1], settings.width, config.image_shape[0])
        network.rates.copy_(joint_rates(labels.values[labels.train]))
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.d = discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adversary, self.moments = adversary.to(device), Moments(config.identity).to(device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.Adam(self.network.parameters(), lr=settings.lr, betas=(0.5, 0.99))
        self.a_adam = torch.optim.Adam(self.adversary.parameters(), lr=settings.lr, betas=(0.5, 0.99))
        self.d_adam = torch.optim.Adam(self.d.parameters(), lr=settings.d_lr, betas=(0.0, 0.99))
        self.unit = contrast(data.images(spread(labels.train, UNIT_PAIRS)))
        shown = spread(labels.held_out if len(labels.held_out) >= SHEET_COLUMNS else labels.train, SHEET_COLUMNS)
        self.shown = data.images(shown)
        order = RowOrder(labels.train, settings.batch, settings.seed)
        self.ahead = Ahead(lambda step: self.data.batch(order.at(step)))

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"encoder and decoder": self.network, "the adversary": self.adversary, "the discriminator": self.d}

    def sheet(self) -> np.ndarray:
        """See `Trainer.sheet`. Rows: images, reconstructions, those with each attribute's first and second value, and
        samples of the prior."""
        network = align_identity(self.average, self.data, self.labels, ALIGNED_FOR_SHEETS)
        return make_sheet(network, self.shown.to(self.device))

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`. Losses as in the settings; `leak` is the adversary's own cross-entropy."""
        images, values, _ = self.ahead.get(self.step)
        images, y = images.to(self.device), values[:, self.columns].float().to(self.device)
        random = self.random(0)
        self.set_rates()
        with self.autocast():
            mean, log_variance, log_odds = self.network.encoder(images)
        leak = self.step_adversary(mean.detach(), log_variance.detach(), y)
        z = reparameterise(mean, log_variance, random)
        self.moments.update(z.detach())
        losses, fakes = self.step_network(images, y, z, (mean, log_variance, log_odds), random)
        losses |= {"leak": leak}
        if self.settings.gan:
            losses["d_loss"] = self.step_discriminator(images, [fake.detach() for fake in fakes])
        self.update_average()
        return losses

    def random(self, stream: int) -> torch.Generator:
        """Random numbers of this step: of the networks (0), of the adversary (1)."""
        seeds = np.random.SeedSequence([self.settings.seed, self.step]).generate_state(2)
        return torch.Generator().manual_seed(int(seeds[stream]))

    def set_rates(self) -> None:
        """Set the optimisers' learning rates to those of the next step."""
        done = (self.step + 1) / self.steps
        share = min(done / WARM_UP, 1.0, 1 - (1 - LAST_RATE) * (done - FALL) / (1 - FALL))
        for adam, rate in (
            (self.adam, self.settings.lr),
            (self.a_adam, self.settings.lr),
            (self.d_adam, self.settings.d_lr),
        ):
            for group in adam.param_groups:
                group["lr"] = rate * share

    def autocast(self) -> torch.autocast:
        """The context of bf16 computation."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16)

    def step_adversary(self, mean: Tensor, log_variance: Tensor, y: Tensor) -> float:
        """Steps of the adversary on draws of z (N, nz) of its own; its cross-entropy, log 2 where z tells nothing."""
        found, random = 0.0, self.random(1)
        for _ in range(self.settings.adversary_steps):
            guess = self.adversary(reparameterise(mean, log_variance, random))
            loss = F.binary_cross_entropy_with_logits(guess, y)
            self.a_adam.zero_grad()
            loss.backward()
            self.a_adam.step()
            found = loss.item()
        return found

    def step_network(
        self, images: Tensor, y: Tensor, z: Tensor, inferred: tuple[Tensor, Tensor, Tensor], random: torch.Generator
    ) -> tuple[dict[str, float], list[Tensor]]:
        """One step of encoder and decoder; its losses, and the reconstructions (N, ...) and samples (N / 2, ...)."""
        settings = self.settings
        mean, log_variance, log_odds = inferred
        attributes = y if settings.conditional else log_odds.sigmoid()
        half = len(y) // 2
        identity = self.moments.draw(torch.randn(half, z.shape[1], generator=random).to(z))
        prior = torch.cat([y.roll(1, 0)[:half], identity], dim=1)
        count = half if settings.gan else 0  # samples are only judged by the discriminator
        with self.autocast():
            made = self.network.decoder(torch.cat([torch.cat([attributes, z], dim=1), prior[:count]]))
        fakes = [made[: len(y)], made[len(y) :]]
        losses = {
            "reconstruction": pixel_loss(fakes[0], images, self.unit),
            "divergence": 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(),
            "labels": F.binary_cross_entropy_with_logits(log_odds, y),
            "consistency": self.consistency(fakes[0], y) if settings.consistency else mean.new_zeros(()),
            "adversary": self.confusion(z) if settings.adversary else mean.new_zeros(()),
            "gan": self.realism(fakes) if settings.gan else mean.new_zeros(()),
        }
        total = losses["reconstruction"] + sum(getattr(settings, name) * losses[name] for name in list(losses)[1:])
        self.adam.zero_grad()
        total.backward()
        self.adam.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}, fakes

    def consistency(self, images: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of the attributes that the encoder, held as it is, infers from reconstructions."""
        held = {name: parameter.detach() for name, parameter in self.network.encoder.named_parameters()}
        with self.autocast():
            _, _, log_odds = functional_call(self.network.encoder, held, (images,))
        return F.binary_cross_entropy_with_logits(log_odds, y)

    def confusion(self, z: Tensor) -> Tensor:
        """How far the adversary, held as it is, is from answering one half: log 2 where z (N, nz) tells it nothing."""
        held = {name: parameter.detach() for name, parameter in self.adversary.named_parameters()}
        self.adversary.eval()
        guess = functional_call(self.adversary, held, (z,))
        self.adversary.train()
        return F.binary_cross_entropy_with_logits(guess, torch.full_like(guess, 0.5))

    def realism(self, fakes: list[Tensor]) -> Tensor:
        """The non-saturating loss of reconstructions and of samples, half each; the discriminator is held."""
        self.d.requires_grad_(False)
        with self.autocast():
            verdicts = [self.d(fake).float() for fake in fakes]
        self.d.requires_grad_(True)
        return torch.stack([F.softplus(-verdict).mean() for verdict in verdicts]).mean()

    def step_discriminator(self, real: Tensor, fakes: list[Tensor]) -> float:
        """One step of the discriminator, and from time to time one of R1 (Mescheder et al. 2018); returns the loss."""
        with self.autocast():
            verdicts = [self.d(fake).float() for fake in fakes]
            loss = F.softplus(-self.d(real).float()).mean()
        loss = loss + torch.stack([F.softplus(verdict).mean() for verdict in verdicts]).mean()
        self.d_adam.zero_grad()
        loss.backward()
        if self.step % self.settings.r1_every == 0:
            shown = real.detach().requires_grad_(True)
            with self.autocast():
                verdict = self.d(shown).float()
            (gradient,) = torch.autograd.grad(verdict.sum(), shown, create_graph=True)
            penalty = gradient.square().sum(dim=(1, 2, 3)).mean() * (self.settings.r1 / 2)
            (penalty * self.settings.r1_every).backward()
        self.d_adam.step()
        return float(loss.detach())

    def update_average(self) -> None:
        """Moving average with a half-life of `average_images`, shorter at the beginning."""
        seen = (self.step + 1) * self.batch
        move_average(self.average, self.network, share_kept(self.settings.average_images, seen, self.batch))


class Moments(nn.Module):
    """Running mean and covariance of z, from whose normal distribution samples are drawn for the discriminator."""

    mean: Tensor
    covariance: Tensor

    def __init__(self, dims: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("covariance", torch.eye(dims))

    def update(self, z: Tensor) -> None:
        """Move towards those of a batch of z (N, dims), with a memory of some ROWS_REMEMBERED rows."""
        share = len(z) / ROWS_REMEMBERED
        self.mean.lerp_(z.mean(0), share)
        centred = z - self.mean
        self.covariance.lerp_(centred.T @ centred / len(z), share)

    def draw(self, noise: Tensor) -> Tensor:
        """Standard normal noise (N, dims) as draws of z; NaN, as losses then are, where the covariance is none."""
        factor, failed = torch.linalg.cholesky_ex(self.covariance)
        return self.mean + noise @ factor.masked_fill(failed > 0, torch.nan).T


def make_adversary(dims: int, width: int, units: int) -> nn.Sequential:
    """z (N, dims) to the log-odds (N, units) of each attribute's second value; also small dims are seen."""
    return nn.Sequential(
        nn.BatchNorm1d(dims, affine=False), nn.Linear(dims, width), nn.LeakyReLU(0.2), nn.Linear(width, width),
        nn.LeakyReLU(0.2), nn.Linear(width, units),
    )  # fmt: skip


def reparameterise(mean: Tensor, log_variance: Tensor, random: torch.Generator) -> Tensor:
    """A draw of z (N, nz) with that mean and log-variance; the noise is made on the CPU."""
    noise = torch.randn(mean.shape, generator=random).to(mean)
    return mean + (log_variance / 2).exp() * noise


def pixel_loss(images: Tensor, wanted: Tensor, unit: float) -> Tensor:
    """The mean absolute plus the mean squared difference of images (N, C, S, S), in units of that of two images."""
    change = (images - wanted) / unit
    return change.abs().mean() + change.square().mean()


def contrast(images: Tensor) -> float:
    """The mean absolute difference of images (N, C, S, S) from one another; 1e-3 if they are all alike."""
    return max(float((images - images.roll(1, 0)).abs().mean()), 1e-3)


def joint_rates(values: Tensor) -> Tensor:
    """How often each combination of attributes (N, K) with values 0 and 1 occurs, (2**K,); bit k is attribute k."""
    numbers = (values << torch.arange(values.shape[1])).sum(dim=1)
    return numbers.bincount(minlength=2 ** values.shape[1]).float() / len(values)
