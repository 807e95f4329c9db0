"""A generator as step 1 was asked to use it: class, truncation, noise. Every later step paints the same pictures."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import generators
from gmmedit.artifacts import Artifact
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError
from gmmedit.generators import Generator

AT_ONCE = 1 << 17  # pixels; a CPU is no faster when it paints more at once, and its memory fills up
MOST = 1 << 30  # images


def sample_settings(samples: Artifact) -> SampleSettings:
    """What the samples were drawn with."""
    return SampleSettings.model_validate(samples.question.config)


def load_sampled(settings: SampleSettings, device: str) -> Generator:
    """The generator as the settings ask for it. InputError as in `as_asked`."""
    return as_asked(generators.load(settings.gan, device), settings)


def as_asked(generator: Generator, settings: SampleSettings) -> Generator:
    """The generator, with the noise that the settings ask for.

    InputError: it has no such class, or needs one; it has no W to truncate, or no mean w, or not so many layers.
    """
    generator.noise_mode, generator.noise_seed = settings.noise, settings.seed
    n, chosen = generator.n_classes, settings.class_index
    if n and chosen is None:
        raise InputError(f"{settings.gan} draws one of {n} classes and needs to know which", hint="--class 0")
    if not n and chosen is not None:
        raise InputError(f"{settings.gan} has no classes", hint="leave --class out")
    if n and chosen is not None and chosen >= n:
        raise InputError(f"{settings.gan} has no class {chosen}", hint=f"--class 0 to --class {n - 1}")
    if settings.psi != 1 and generator.w_shape is None:
        raise InputError(f"{settings.gan} has no W that psi could truncate", hint="leave --psi out")
    if settings.cutoff is not None and generator.w_avg is None:
        raise InputError(f"{settings.gan} has no mean w that layers could be drawn to", hint="leave --cutoff out")
    layers = generator.w_shape[0] if generator.w_shape else 0
    if settings.cutoff is not None and settings.cutoff > layers:
        message = f"{settings.gan} has {layers} layers, a cutoff of {settings.cutoff} lies beyond them"
        raise InputError(message, hint="leave --cutoff out to truncate all of them")
    return generator


def mapped(generator: Generator, z: Tensor, settings: SampleSettings) -> Tensor:
    """z (N, z_dim) to the w (N, w_dim) that samples.h5 keeps: truncated, unless a cutoff spares some layers."""
    c = None
    if settings.class_index is not None:
        c = F.one_hot(torch.tensor(settings.class_index), generator.n_classes).float().to(z).expand(len(z), -1)
    return generator.map(z, c, settings.psi if settings.cutoff is None else 1)


def painter(generator: Generator, space: str, settings: SampleSettings) -> Callable[[Tensor], Tensor]:
    """Latents (N, D) or (N, L, D), L = 1 or one for each layer, to images: z, or w as `mapped` gives it."""

    def paint(latent: Tensor) -> Tensor:
        latent = to_synthesis(generator, space, settings, latent.to(generator.device))
        return torch.cat([generator.synthesize(rows) for rows in latent.split(images_at_once(generator))])

    return paint


def to_synthesis(generator: Generator, space: str, settings: SampleSettings, latent: Tensor) -> Tensor:
    """Latents (N, D) or (N, L, D) of a run as `Generator.synthesize` takes them: mapped, truncated; z where there is no
    W."""
    latent = latent[:, 0] if latent.ndim == 3 and latent.shape[1] == 1 else latent
    if generator.w_shape is not None:
        latent = latent if space == "w" else mapped(generator, latent, settings)
        if settings.cutoff is not None:
            latent = generator.truncate(latent, settings.psi, settings.cutoff)
    return latent


def images_at_once(generator: Generator) -> int:
    """Of how many images a batch is painted, a power of two as in `in_batches`. Other devices gain from large ones."""
    if generator.device.type != "cpu":
        return MOST
    _, height, width = generator.image_shape
    most = max(AT_ONCE // (height * width), 1)
    return 1 << (most.bit_length() - 1)
