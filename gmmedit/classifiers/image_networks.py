"""Networks of images with their preprocessing, on which classifiers and feature networks are built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.columns import Activation
from gmmedit.classifiers.description import Source
from gmmedit.classifiers.preprocessing import Preprocessing
from gmmedit.errors import InputError, nearest, out_of_memory
from gmmedit.networks import first_line, run_in_fixed_batches

TRIAL_IMAGES = 2  # so that a network exported for one image is noticed


@dataclass(frozen=True)
class OpenedNetwork:
    """A network from a file: a function of preprocessed images, and what the file tells about it.

    `forward` maps (N, C, *size) to one row (n) or (n / 2, 2) of labels, or features of any shape, per image, on the
    device that the network was opened for. Of several tensors the description chooses one. `shape` is the input's as
    far as the file tells, (N, C, H, W) or (N, H, W, C); None: unknown.
    """

    forward: Callable[[Tensor], Any]
    fingerprint: str
    preprocessing: Preprocessing | None = None
    attributes: tuple[Attribute, ...] = ()
    outputs: tuple[str, ...] | None = None
    activation: Activation | None = None
    shape: tuple[int | None, ...] | None = None
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class ImageNetwork:
    """A network with its preprocessing; `where` names it in errors."""

    network: OpenedNetwork
    preprocessing: Preprocessing
    where: str
    channels_last: bool = False
    output: str | None = None  # of several tensors: a name, or a number from 0

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to the network's outputs.

        InputError: the network fails, or it has not the output that the description chooses.
        """
        pixels = self.preprocessing(images)
        try:
            return run_in_fixed_batches(self.run_pixels, pixels, self.network.shape[0] if self.network.shape else None)
        except InputError:
            raise
        except Exception as error:  # user code may raise anything
            if out_of_memory(error):
                raise
            height, width = pixels.shape[-2:]
            message = f"{self.where} fails on {len(pixels)} images of {height} x {width} pixels: {first_line(error)}"
            hint = "compare `input` with the network's, and export it with a dynamic batch size"
            raise InputError(message, hint=hint) from error

    def run_pixels(self, pixels: Tensor) -> Tensor:
        """The outputs for preprocessed pixels (N, C, H, W). InputError: there is no such output."""
        pixels = pixels.permute(0, 2, 3, 1).contiguous() if self.channels_last else pixels
        if not self.network.dtype.is_floating_point:
            pixels = pixels.round()
        outputs = self.network.forward(pixels.to(self.network.dtype))
        return choose_output(outputs, self.output, self.where)

    @torch.enable_grad()  # the caller may have disabled gradients
    def run_trial(self, device: str, reverse: bool = False) -> Tensor:
        """The outputs (TRIAL_IMAGES, ...) for test images with gradients; `reverse`: computed in reverse order.

        InputError: the network fails, or does not return a tensor.
        """
        shape = (TRIAL_IMAGES, self.preprocessing.channels[-1], *self.preprocessing.size)
        images = torch.linspace(-1, 1, torch.Size(shape).numel(), device=device).view(shape)
        outputs = self((images.flip(0) if reverse else images).requires_grad_(True))
        return outputs.flip(0) if reverse and outputs.ndim else outputs


def choose_output(outputs: Any, wanted: str | None, where: str) -> Tensor:
    """The only tensor, or one of several by name or number. InputError: there is none."""
    if isinstance(outputs, Tensor):
        if wanted is not None:
            raise InputError(f"{where} returns one tensor, there is none to choose", hint="remove `output`")
        return outputs
    named = dict(outputs) if isinstance(outputs, Mapping) else {}
    listed = list(named.values()) if named else list(outputs) if isinstance(outputs, tuple | list) else []
    names = list(named) or [str(number) for number in range(len(listed))]
    if wanted is None or not listed:
        message = f"{where} returns a {type(outputs).__name__}, expected one tensor (N, columns)"
        which = f"output: one of {', '.join(names)}; or " if names else ""
        raise InputError(message, hint=f"{which}wrap it in a function module.py:factory that returns one tensor")
    found = named.get(wanted, listed[int(wanted)] if wanted.isdecimal() and int(wanted) < len(listed) else None)
    if not isinstance(found, Tensor):
        raise InputError(f"{where} has no tensor {wanted!r} among its outputs", hint=nearest(wanted, names))
    return found


def prepare_network(network: OpenedNetwork, description: Source, where: str) -> ImageNetwork:
    """The network with the description's preprocessing, or else the file's own.

    InputError: there is none, or a network of uint8 would get other numbers than 0 to 255.
    """
    given = description.input
    last = channels_last(network.shape) if given is None or given.layout is None else given.layout == "nhwc"
    preprocessing = network.preprocessing
    if given:
        channels, size = channels_and_size(network.shape, last)
        preprocessing = given.preprocessing(size, channels, network.dtype == torch.uint8)
    if preprocessing is None:
        hint = f"input: {{size: 224, ...}}; {description.hint}"
        raise InputError(f"{where} does not tell the preprocessing of its images", hint=hint)
    usual = (preprocessing.range, set(preprocessing.mean), set(preprocessing.std)) == ((0, 255), {0}, {1})
    if network.dtype == torch.uint8 and not usual:
        message = f"{where} takes uint8 from 0 to 255, but `input` asks for other values"
        raise InputError(message, hint="remove range, mean and std from `input`")
    return ImageNetwork(network, preprocessing, where, last, description.output)


def channels_last(shape: tuple[int | None, ...] | None) -> bool:
    """Whether an input of that shape has its one or three channels last."""
    return shape is not None and shape[3] in (1, 3) and shape[1] not in (1, 3)


def channels_and_size(shape: tuple[int | None, ...] | None, last: bool) -> tuple[int | None, tuple[int, int] | None]:
    """The channels and (height, width) of an input, channels last if `last`; None: unknown."""
    if shape is None:
        return None, None
    channels, height, width = (shape[3], *shape[1:3]) if last else shape[1:]
    return channels, (height, width) if height and width else None


def combine_fingerprint(fingerprint: str, description: Source, own: Preprocessing | None = None) -> str:
    """SHA-256 over a file's fingerprint and its description; `own`: the file's own preprocessing."""
    used = f"{fingerprint}\n{description.record()}"
    if own and description.input is None:
        used += f"\n{own.record()}"
    return sha256(used.encode()).hexdigest()
