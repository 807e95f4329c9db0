"""A classifier put together from a network and its description: preprocessing, network, outputs to logits."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from gmmedit.classifiers.base import Attribute, Classifier
from gmmedit.classifiers.calibration import Calibration, Goal
from gmmedit.classifiers.columns import Activation, Columns, by_name, consecutive
from gmmedit.classifiers.description import BEST, HINT, Description
from gmmedit.classifiers.preprocessing import Preprocessing
from gmmedit.errors import InputError, nearest
from gmmedit.networks import reason

TRIED = 2  # pictures of the first try: a network that was exported for one must be found out


@dataclass(frozen=True)
class Opened:
    """What a file opens to: a function of preprocessed pictures, and what the file says of itself.

    `forward` maps (N, C, *size) to (N, n) or (N, n / 2, 2); it computes on the device that it was opened for.
    """

    forward: Callable[[Tensor], Tensor]
    fingerprint: str
    preprocessing: Preprocessing | None = None
    attributes: tuple[Attribute, ...] = ()
    outputs: tuple[str, ...] | None = None
    activation: Activation | None = None


class Described(Classifier):
    """The description's attributes, read from the network's outputs. Always frozen and in evaluation mode."""

    def __init__(self, network: Opened, description: Description, where: str, device: str) -> None:
        """InputError: the description does not fit the network; `where` names the two."""
        super().__init__()
        self.network, self.where, self.device = network, where, device
        self.attributes = description.stated() or list(network.attributes)
        self.preprocessing = preprocessing_of(network, description, where)
        self.columns = columns_of(network, description, self.attributes, where)
        self.calibration = calibration_of(description, self.attributes, where)
        self.input_size, self.channels = self.preprocessing.size, self.preprocessing.channels
        self.fingerprint = combined(network.fingerprint, description)
        self.differentiable = self.tried()

    def train(self, mode: bool = True) -> "Described":
        return self

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`. InputError: the network fails, or takes another number of pictures only."""
        logits = self.columns(self.outputs(images).flatten(1).float())
        return self.calibration(logits) if self.calibration else logits

    def outputs(self, images: Tensor) -> Tensor:
        pixels = self.preprocessing(images)
        try:
            return self.network.forward(pixels)
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # anything may be in a user's network
            height, width = pixels.shape[-2:]
            message = f"{self.where} fails on {len(pixels)} pictures of {height} x {width} pixels: {reason(error)}"
            hint = "compare `input` with what it was made for, and export it with a dynamic batch"
            raise InputError(message, hint=hint) from error

    @torch.enable_grad()  # whoever loads it may compute without
    def tried(self) -> bool:
        """Whether gradients reach the images. InputError: the network fails, or its outputs are not as described."""
        images = torch.linspace(-1, 1, TRIED * self.channels[-1], device=self.device).view(TRIED, -1, 1, 1)
        outputs = self.outputs(images.expand(-1, -1, *self.input_size).clone().requires_grad_(True))
        self.check(outputs)
        return outputs.requires_grad

    def check(self, outputs: Tensor) -> None:
        if not isinstance(outputs, Tensor):
            message = f"{self.where} gives a {type(outputs).__name__}, one tensor (N, columns) was expected"
            raise InputError(message, hint="wrap it in a module.py:factory that returns the logits")
        found = tuple(outputs.shape)
        if len(found) < 2 or found[0] != TRIED or outputs[0].numel() != self.columns.n:
            message = f"{self.where} gives outputs of shape {found}, its description has {self.columns.n} columns"
            raise InputError(message, hint="list all outputs in order: outputs: [...]; " + HINT)
        if self.columns.activation == "probabilities" and not (0 <= outputs.amin() <= outputs.amax() <= 1):
            message = f"{self.where} gives values from {outputs.amin():.3g} to {outputs.amax():.3g}, no probabilities"
            raise InputError(message, hint="activation: sigmoid, softmax or pairs, if they are logits")


def preprocessing_of(network: Opened, description: Description, where: str) -> Preprocessing:
    """The description's before the file's own."""
    preprocessing = description.input.preprocessing() if description.input else network.preprocessing
    if preprocessing is None:
        raise InputError(f"{where} does not say what its pictures look like", hint="input: {size: 224, ...}; " + HINT)
    return preprocessing


def columns_of(network: Opened, description: Description, attributes: list[Attribute], where: str) -> Columns:
    if not attributes:
        raise InputError(f"{where} does not say what its outputs mean", hint="attributes: {...}; " + HINT)
    activation = description.activation or network.activation
    if activation is None:
        hint = "activation: sigmoid, softmax, probabilities or pairs"
        raise InputError(f"{where} does not say what its outputs are", hint=hint)
    names = description.outputs or network.outputs
    if names is None or not description.attributes:
        return consecutive(attributes, activation)
    chosen = {name: tuple(readout.outputs or ()) for name, readout in description.attributes.items()}
    return by_name(attributes, chosen, names, activation, where)


def calibration_of(description: Description, attributes: list[Attribute], where: str) -> Calibration | None:
    """What the description asks for; prompts are always calibrated. None: nothing."""
    accuracy = description.accuracy or (BEST if description.prompts else None)
    if accuracy is None and not description.rates:
        return None
    known = {attribute.name: attribute for attribute in attributes}
    for name in (*description.rates, *(accuracy if isinstance(accuracy, dict) else ())):
        if name not in known:
            raise InputError(f"{where}: there is no attribute {name!r} to calibrate", hint=nearest(name, known))
    default = BEST if description.prompts else None
    of = {name: accuracy.get(name, default) if isinstance(accuracy, dict) else accuracy for name in known}
    goals = [goal_of(it, of[it.name], description.rates.get(it.name), where) for it in attributes]
    return Calibration(goals)


def goal_of(attribute: Attribute, accuracy: float | None, rates: dict[str, float] | None, where: str) -> Goal:
    if rates is None:
        return Goal(len(attribute.values), accuracy, None)
    name, total = attribute.name, sum(rates.values())
    if rates.keys() != set(attribute.values) or abs(total - 1) > 0.01:
        message = f"{where}: the rates of {name} must name {', '.join(attribute.values)} and sum to 1"
        raise InputError(message, hint=f"rates: {{{name}: {{{attribute.values[0]}: 0.5, ...}}}}")
    if accuracy is not None and accuracy <= max(rates.values()):
        message = f"{where}: {name} is right {accuracy:g} of the time, always guessing its most frequent value "
        raise InputError(message + f"{max(rates.values()):g}", hint=f"accuracy: {{{name}: 0.98}}")
    return Goal(len(attribute.values), accuracy, tuple(rates[value] / total for value in attribute.values))


def combined(fingerprint: str, description: Description) -> str:
    """SHA-256 over what a file is and how it is used."""
    return sha256(f"{fingerprint}\n{description.record()}".encode()).hexdigest()
