"""Learning rates and moving averages over a training, which its systems share."""

import math

LEAST_HALF_LIFE = 1e-8  # images


def warm_cosine(done: float) -> float:
    """The factor of the highest learning rate at a share of the training, in [0, 1].

    It rises from 0 over a twentieth of the training, then falls along a cosine to 0 (Loshchilov and Hutter 2017).
    """
    return min(20 * done, 0.5 + 0.5 * math.cos(math.pi * min(done, 1)))


def share_kept(images: int, seen: int, batch: int) -> float:
    """The share of a moving average that stays when a step of `batch` images is added, in [0, 1].

    The half-life is `images`, at the beginning a twentieth of the images seen so far (StyleGAN2-ADA, Karras et al.
    2020).
    """
    return 0.5 ** (batch / max(min(images, 0.05 * seen), LEAST_HALF_LIFE))
