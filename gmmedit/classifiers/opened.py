"""What a file opens to: a network, and what prepares its pictures. Classifiers and feature networks are built on it."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from gmmedit.classifiers.base import Attribute
from gmmedit.classifiers.columns import Activation
from gmmedit.classifiers.description import Source
from gmmedit.classifiers.preprocessing import Preprocessing
from gmmedit.errors import InputError, out_of_memory
from gmmedit.networks import reason

TRIED = 2  # pictures of the first try: a network that was exported for one must be found out


@dataclass(frozen=True)
class Opened:
    """What a file opens to: a function of preprocessed pictures, and what the file says of itself.

    `forward` maps (N, C, *size) to one row (n) or (n / 2, 2) of labels, or of features of any shape, for each picture;
    it computes on the device that it was opened for.
    """

    forward: Callable[[Tensor], Tensor]
    fingerprint: str
    preprocessing: Preprocessing | None = None
    attributes: tuple[Attribute, ...] = ()
    outputs: tuple[str, ...] | None = None
    activation: Activation | None = None


@dataclass(frozen=True)
class Prepared:
    """A network of pictures as everybody has them; `where` names it in errors."""

    network: Opened
    preprocessing: Preprocessing
    where: str

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to the network's outputs.

        InputError: the network fails, or takes another number of pictures only.
        """
        pixels = self.preprocessing(images)
        try:
            return self.network.forward(pixels)
        except InputError:
            raise
        except Exception as error:  # anything may be in a user's network
            if out_of_memory(error):
                raise
            height, width = pixels.shape[-2:]
            message = f"{self.where} fails on {len(pixels)} pictures of {height} x {width} pixels: {reason(error)}"
            hint = "compare `input` with what it was made for, and export it with a dynamic batch"
            raise InputError(message, hint=hint) from error

    @torch.enable_grad()  # whoever loads it may compute without
    def tried(self, device: str, turned: bool = False) -> Tensor:
        """The outputs for pictures that want their gradients; `turned`: seen in reverse order, answered in this one.

        InputError: it fails, or they are no tensor.
        """
        shape = (TRIED, self.preprocessing.channels[-1], *self.preprocessing.size)
        images = torch.linspace(-1, 1, torch.Size(shape).numel(), device=device).view(shape)
        outputs = self((images.flip(0) if turned else images).requires_grad_(True))
        if not isinstance(outputs, Tensor):
            message = f"{self.where} gives a {type(outputs).__name__}, one tensor (N, columns) was expected"
            raise InputError(message, hint="wrap it in a module.py:factory that returns one tensor")
        return outputs.flip(0) if turned and outputs.ndim else outputs


def prepared(network: Opened, description: Source, where: str) -> Prepared:
    """The network with the description's preprocessing, or else the file's own. InputError: there is none."""
    preprocessing = description.input.preprocessing() if description.input else network.preprocessing
    if preprocessing is None:
        hint = f"input: {{size: 224, ...}}; {description.hint}"
        raise InputError(f"{where} does not say what its pictures look like", hint=hint)
    return Prepared(network, preprocessing, where)


def combined(fingerprint: str, description: Source, own: Preprocessing | None = None) -> str:
    """SHA-256 over what a file is and how it is used; `own`: what it says itself of its images."""
    used = f"{fingerprint}\n{description.record()}"
    if own and description.input is None:
        used += f"\n{own.record()}"
    return sha256(used.encode()).hexdigest()
