"""Training of classifiers on disturbed images; the embedded ones on independently sampled avatars.

Images are blurred and disturbed at random, because the networks will classify a GAN's images, which are softer and
noisier than its data. Step t draws everything from generators seeded by (seed, t), so that a resumed run gives the same
result.
"""

import copy
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.convnet import ConvNetConfig
from gmmedit.classifiers.embedded import build_network
from gmmedit.classifiers.patchnet import PatchNetConfig
from gmmedit.classifiers.trained import NetworkConfig, TrainedNetwork
from gmmedit.datasets.avatars.factors import ATTRIBUTES, DETAILS, NUISANCES, sample_independent, shown
from gmmedit.datasets.avatars.renderer import render
from gmmedit.runtime.distributed import Processes
from gmmedit.runtime.execution import ALONE
from gmmedit.training.base import Trainer, move_average
from gmmedit.training.disturbances import Augmentation, StrongAugmentation
from gmmedit.training.parts import Parts
from gmmedit.training.schedules import share_kept, warm_cosine

AVATARS = tuple(Attribute(name, values) for name, values in ATTRIBUTES.items())


@dataclass(frozen=True)
class ClassifierSettings:
    """The settings that determine the result of a training run."""

    seed: int
    network: NetworkConfig
    augmentation: Augmentation
    images: int = 204_800  # in all, each used once
    batch: int = 128
    lr: float = 0.002  # the highest; it rises from 0 over a twentieth of the run, then falls along a cosine to 0
    weight_decay: float = 0.01
    smoothing: float = 0.01  # of the labels: keeps log-odds moderate, so that gradients do not vanish
    nuisance_weight: float = 10.0  # of the nuisances' mean square error beside the cross-entropy
    average_images: int = 5_000  # half-life of the moving average of the weights
    radius: float = 0.0  # of the ball (Euclidean, over all pixels) in which the worst image is sought
    ascents: int = 2  # steps of that search
    data: str = ""  # fingerprint of the data set; "": avatars


LABELLING = ClassifierSettings(1, ConvNetConfig(AVATARS), Augmentation(), images=256_000, radius=1.0)
EVALUATION = ClassifierSettings(
    seed=2,
    network=ConvNetConfig(AVATARS, NUISANCES, widths=(20, 32, 48, 48), depth=2, features=96),
    augmentation=Augmentation(blur=0.9, noise=0.06, gain=0.05, bias=0.03, coarsest=0.65),
)
FACTORS = ClassifierSettings(
    seed=4,
    network=PatchNetConfig(AVATARS, DETAILS + NUISANCES),
    augmentation=StrongAugmentation(blur=1.3, noise=0.12, gain=0.06, bias=0.04, coarsest=0.5),
    images=179_200,
    nuisance_weight=30.0,
    average_images=10_000,
)
CRITIC = ClassifierSettings(
    seed=3,
    network=ConvNetConfig(AVATARS, widths=(16, 32, 56, 64), features=80),
    augmentation=Augmentation(blur=1.1, noise=0.1, gain=0.1, bias=0.06, coarsest=0.5),
    images=64_000,
)
"""The shipped networks `avatars`, `avatars-eval`, `avatars-factors`: different data, shape and disturbances. The critic
sharpens the generator's attributes while it is trained, and is not shipped."""

NETWORKS = {
    "labelling": ("classifier", LABELLING),
    "evaluation": ("evaluator", EVALUATION),
    "factors": ("factors", FACTORS),
}
"""What `gmmedit train classifier --network` trains: the file's name and the settings."""

PARTS = 4  # of a step
MILD = Augmentation(blur=0.7, noise=0.05, gain=0.03, bias=0.02, coarsest=0.75)


class ClassifierTraining(Trainer):
    """A network, the moving average of its weights (the result), and the optimiser. Subclasses draw the images."""

    stateful = ("network", "average", "adam")

    def __init__(
        self, settings: ClassifierSettings, name: str, device: str = "cpu", bf16: bool = True,
        processes: Processes = ALONE,
    ):  # fmt: skip
        self.settings, self.name, self.device, self.bf16 = settings, name, device, bf16
        self.parts = Parts(processes, PARTS, settings.batch)
        self.batch, self.steps = settings.batch, -(-settings.images // settings.batch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = build_network(settings.network)
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.AdamW(self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)

    @abstractmethod
    def draw_part(self, part: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Disturbed images (N, 3, S, S), values (N, A) and nuisances (N, M) or None of a part of this step, on the
        CPU."""

    def random_of(self, part: int) -> tuple[int, torch.Generator]:
        """A seed of this step's images, and a generator for what disturbs those of a part."""
        draws, disturbances = np.random.SeedSequence([self.settings.seed, self.step, part]).generate_state(2)
        return int(draws), torch.Generator().manual_seed(int(disturbances))

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"the classifier": self.network}

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`; the accuracy is that on the step's images, mean over the attributes."""
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate()
        figures = self.parts.set_gradients(self.network, lambda part: self.measure(*self.draw_part(part)))
        self.adam.step()
        self.update_average()
        return dict(zip(("loss", "accuracy"), figures.tolist(), strict=True))

    def learning_rate(self) -> float:
        """That of the next step."""
        done = (self.step + 1) * self.settings.batch / self.settings.images
        return self.settings.lr * warm_cosine(done)

    def measure(self, images: Tensor, targets: Tensor, nuisances: Tensor | None) -> tuple[Tensor, Tensor]:
        """The loss () of a part, and loss and accuracy (2,), the mean over the attributes."""
        images, targets = images.to(self.device), targets.to(self.device)
        columns, estimates = self.predict(self.find_worst(images, targets) if self.settings.radius else images)
        loss = self.label_loss(columns, targets)
        if self.settings.network.nuisances and nuisances is not None:
            errors = estimates.float() - nuisances.to(self.device)
            loss = loss + self.settings.nuisance_weight * errors.square().mean()
        right = torch.stack([c.argmax(dim=1) for c in columns], dim=1) == targets
        return loss, torch.stack([loss.detach(), right.float().mean()])

    def predict(self, images: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Logits (N, C) for each attribute, and the predicted nuisances (N, M)."""
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16):
            logits, nuisances = self.network.predict(images)
        return logits.float().split([len(a.values) for a in self.network.attributes], dim=1), nuisances

    def label_loss(self, columns: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """Cross-entropy with label smoothing, summed over the attributes; targets: (N, A) values."""
        smoothing = self.settings.smoothing
        losses = [F.cross_entropy(c, t, label_smoothing=smoothing) for c, t in zip(columns, targets.T, strict=True)]
        return torch.stack(losses).sum()

    def find_worst(self, images: Tensor, targets: Tensor) -> Tensor:
        """Images within `radius` of these with the largest loss, by projected gradient ascent (Madry et al. 2018, L2).

        A network trained on them does not change its labels for invisible changes, which edits optimised through an
        ordinary network tend to find.
        """
        radius, ascents = self.settings.radius, self.settings.ascents
        change = torch.zeros_like(images)
        for _ in range(ascents):
            change.requires_grad_(True)
            loss = self.label_loss(self.predict(images + change)[0], targets)
            (gradient,) = torch.autograd.grad(loss, change)
            change = change.detach() + radius * (1.5 / ascents) * F.normalize(gradient.flatten(1)).view_as(images)
            change = change.flatten(1).renorm(2, 0, radius).view_as(images)
        return images + change

    def update_average(self) -> None:
        """Moving average with a half-life of `average_images`, shorter at the beginning."""
        seen = (self.step + 1) * self.batch
        move_average(self.average, self.network, share_kept(self.settings.average_images, seen, self.batch))


class AvatarClassifierTraining(ClassifierTraining):
    """Of avatars that are new in every step."""

    def draw_part(self, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """See `ClassifierTraining.draw_part`."""
        draws, generator = self.random_of(part)
        factors = sample_independent(self.batch // self.parts.total, draws)
        nuisances = factors.numbers(self.settings.network.nuisances)
        return self.settings.augmentation(render(factors), generator), factors.attributes, nuisances


@torch.no_grad()
def accuracy(
    network: TrainedNetwork, n: int, seed: int, augmentation: Augmentation | None = None, batch: int = 128
) -> dict[str, float]:
    """The network's accuracy on n independently sampled avatars of `seed`, disturbed if an augmentation is given.

    By name: the share of avatars whose value of the attribute is correct, and R^2 of each detail and nuisance among the
    avatars that show it.
    """
    factors = sample_independent(n, seed)
    generator = torch.Generator().manual_seed(seed)
    answers = []
    for first in range(0, n, batch):
        images = render(factors[first : first + batch])
        answers.append(network.predict(augmentation(images, generator) if augmentation else images))
    logits, nuisances = (torch.cat(parts) for parts in zip(*answers, strict=True))
    columns = logits.split([len(a.values) for a in network.attributes], dim=1)
    guesses = torch.stack([c.argmax(dim=1) for c in columns], dim=1)
    shares = (guesses == factors.attributes).float().mean(dim=0).tolist()
    scores = dict(zip((attribute.name for attribute in network.attributes), shares, strict=True))
    names = network.config.nuisances
    true, seen = factors.numbers(names), shown(factors.attributes, names)
    for name, guess, truth, rows in zip(names, nuisances.T, true.T, seen.T, strict=True):
        residual = (guess - truth)[rows].square().mean()
        scores[name] = 1 - float(residual / truth[rows].var(unbiased=False))
    return scores
