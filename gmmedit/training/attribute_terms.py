"""Terms of a generator's loss that sharpen the attributes of its images, by a classifier's labels of them.

Entropy: values should be distinct, as a GAN bridges the gaps between the modes of its data, which have no half smiles.
Imbalance: they should be as frequent as in the data, which the entropy alone would not ensure.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets.avatars.factors import ATTRIBUTES, Factors

PAIR_MEMORY = 2_000  # half-life in images
MOST_LACK = 4.0


class AttributeTerms:
    """The terms of avatars, whose labels a critic gives.

    Attributes:
        wanted: the rates (K, K) of pairs of values in the data, see `pair_rates`.
        pairs: their running mean over generated images.
    """

    def __init__(self, critic: TrainedNetwork, data: Factors, device: str) -> None:
        self.critic, self.wanted = critic.to(device), pair_rates(data).to(device)
        self.reset()

    def reset(self) -> None:
        """Begin a phase, with the pairs of the data."""
        self.pairs = self.wanted.clone()

    def loss(self, logits: Tensor, sharpness: float, balance: float) -> Tensor:
        """The weighted terms () of the critic's logits (N, K) of images of one latent each."""
        columns = logits.float().split([len(a.values) for a in self.critic.attributes], dim=1)
        labels = torch.cat([c.softmax(1) for c in columns], dim=1)
        blur = -sum((c.softmax(1) * c.log_softmax(1)).sum(1).mean() for c in columns)
        return sharpness * blur + balance * self.imbalance(labels)

    def imbalance(self, labels: Tensor) -> Tensor:
        """A loss of labels (N, K) whose gradient favours pairs of values that are rarer than in the data.

        Its gradient is that of the cross-entropy between the data's rates of pairs and the running mean of the
        generator's, over about `PAIR_MEMORY` images, more than a batch.
        """
        found = labels.T @ labels / len(labels)
        keep = 0.5 ** (len(labels) / PAIR_MEMORY)
        self.pairs = self.pairs.lerp(found.detach(), 1 - keep)
        lack = (self.wanted / self.pairs.clamp(min=1e-3)).clamp(max=MOST_LACK) - 1
        return -(lack * found).sum() / len(ATTRIBUTES)


def pair_rates(factors: Factors) -> Tensor:
    """(K, K): how often two values of `ATTRIBUTES` come together; the diagonal is each one's own rate."""
    columns = [F.one_hot(factors.attributes[:, i], len(values)) for i, values in enumerate(ATTRIBUTES.values())]
    labels = torch.cat(columns, dim=1).float()
    return labels.T @ labels / len(labels)
