"""A classifier from a network and its description: preprocessing, network, outputs to logits."""

from dataclasses import replace

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute, check_attributes
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.calibration import Calibration, Goal
from gmmedit.classifiers.columns import Columns, Regressed, assign_by_name, assign_in_order
from gmmedit.classifiers.description import BEST, HINT, Description, Readout
from gmmedit.classifiers.image_networks import TRIAL_IMAGES, OpenedNetwork, combine_fingerprint, prepare_network
from gmmedit.errors import InputError, nearest

SAME = 0.01  # of the outputs' size: how much they may depend on the position in the batch


class DescribedClassifier(Classifier):
    """The description's attributes, read from the network's outputs. Always frozen and in evaluation mode."""

    converts = True

    def __init__(self, network: OpenedNetwork, description: Description, where: str, device: str) -> None:
        """InputError: the description does not match the network; `where` names them in errors."""
        super().__init__()
        self.network = prepare_network(network, description, where)
        self.attributes = description.stated() or list(network.attributes)
        check_attributes(self.attributes, where)
        self.columns = choose_columns(network, description, self.attributes, where)
        self.calibration = make_calibration(description, self.attributes, where)
        self.input_size = self.network.preprocessing.size
        self.channels = self.network.preprocessing.channels
        self.fingerprint = combine_fingerprint(network.fingerprint, description, network.preprocessing)
        outputs = self.checked(self.network.run_trial(device))
        self.differentiable = outputs.requires_grad
        first, second = outputs.detach().float(), self.network.run_trial(device, reverse=True).detach().float()
        if not torch.allclose(first, second, rtol=SAME, atol=SAME * float(first.abs().mean()), equal_nan=True):
            message = f"{where} returns different outputs for the same image at another position, or in each call"
            raise InputError(message, hint="use evaluation mode: rows of a batch must not depend on each other")

    def train(self, mode: bool = True) -> "DescribedClassifier":
        """Without effect: the network stays in evaluation mode."""
        return self

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`. InputError: the network fails, or does not return one row per image."""
        outputs = self.network(images)
        if len(outputs) != len(images) or outputs[0].numel() != self.columns.n:
            message = f"{self.network.where} returns outputs of shape {tuple(outputs.shape)} for {len(images)} images"
            raise InputError(message, hint="export it with a dynamic batch size")
        logits = self.columns(outputs.flatten(1).float())
        return self.calibration(logits) if self.calibration else logits

    def checked(self, outputs: Tensor) -> Tensor:
        """The outputs of the trial. InputError: they are not as described."""
        where, found = self.network.where, tuple(outputs.shape)
        if len(found) < 2 or found[0] != TRIAL_IMAGES or outputs[0].numel() != self.columns.n:
            message = f"{where} returns outputs of shape {found}, its description has {self.columns.n} columns"
            raise InputError(message, hint="list all outputs in order: outputs: [...]; " + HINT)
        shares = self.columns.activated(outputs.flatten(1))
        outside = shares.numel() and not (0 <= shares.amin() <= shares.amax() <= 1)
        if self.columns.activation == "probabilities" and outside:
            message = f"{where} returns values from {shares.amin():.3g} to {shares.amax():.3g}, not probabilities"
            raise InputError(message, hint="activation: sigmoid, softmax or pairs, if they are logits")
        return outputs


def choose_columns(
    network: OpenedNetwork, description: Description, attributes: list[Attribute], where: str
) -> Columns:
    """The columns of each attribute. InputError: neither description nor file tells them."""
    if not attributes:
        raise InputError(f"{where} does not say what its outputs mean", hint="attributes: {...}; " + HINT)
    readouts = description.attributes or {}
    regressed = {name: read_regressed(name, readout, where) for name, readout in readouts.items() if readout.regressed}
    activation = description.activation or network.activation
    if regressed and activation == "pairs":
        message = f"{where}: pairs are logits, but {next(iter(regressed))} has a threshold or a scale"
        raise InputError(message, hint="activation: softmax takes two columns of the other attributes too")
    if regressed.keys() == readouts.keys() and regressed:
        activation = "sigmoid"  # of no attribute
    if activation is None:
        hint = "activation: sigmoid, softmax, probabilities or pairs"
        raise InputError(f"{where} does not say what its outputs are", hint=hint)
    names = description.outputs or network.outputs
    if names is None and len({readout.outputs is None for readout in readouts.values()}) > 1:
        raise InputError(f"{where}: either every attribute names its outputs, or none does", hint=HINT)
    if names is None or not readouts:
        columns = assign_in_order(attributes, activation, regressed)
    else:
        chosen = {name: tuple(readout.outputs or ()) for name, readout in readouts.items()}
        columns = assign_by_name(attributes, chosen, names, activation, where)
    numbers = {attribute.name: number for number, attribute in enumerate(attributes)}
    for name in regressed:
        if len(columns.chosen[numbers[name]]) != 1:
            message = f"{where}: {name} has a threshold or a scale, and several outputs"
            raise InputError(message, hint=f"{name}: {{outputs: NAME, threshold: ...}} reads one output")
    return replace(columns, regressed={numbers[name]: reading for name, reading in regressed.items()})


def read_regressed(name: str, readout: Readout, where: str) -> Regressed:
    """How an attribute's regressed output is read. InputError: it has many values, or a scale of two ends."""
    if len(readout.names) != 2:
        message = f"{where}: {name} has {len(readout.names)} values, and a scale of an output is between two values"
        raise InputError(message, hint=f"values: [LOW, HIGH], or {name} without scale and one output per value")
    low, high = readout.scale or (0.0, 1.0)
    if low:
        message = f"{where}: the scale of {name} has two ends, that of a network's output is one number"
        raise InputError(message, hint=f"threshold: {(low + high) / 2:g}, scale: {(high - low) / 10:g}")
    return Regressed(readout.threshold or 0.0, high)


def make_calibration(description: Description, attributes: list[Attribute], where: str) -> Calibration | None:
    """The calibration that the description asks for; prompts always get one. None: none.

    InputError: it names an unknown attribute, or as `make_goal`.
    """
    accuracy = description.accuracy or (BEST if description.prompts else None)
    if accuracy is None and not description.rates:
        return None
    known = {attribute.name: attribute for attribute in attributes}
    for name in (*description.rates, *(accuracy if isinstance(accuracy, dict) else ())):
        if name not in known:
            raise InputError(f"{where}: there is no attribute {name!r} to calibrate", hint=nearest(name, known))
    default = BEST if description.prompts else None
    shares = {name: accuracy.get(name, default) if isinstance(accuracy, dict) else accuracy for name in known}
    goals = [make_goal(known[name], shares[name], description.rates.get(name), where) for name in known]
    return Calibration(goals)


def make_goal(attribute: Attribute, accuracy: float | None, rates: dict[str, float] | None, where: str) -> Goal:
    """The goal of one attribute. InputError: rates that are no distribution, or an accuracy not above guessing."""
    if rates is None:
        return Goal(len(attribute.values), accuracy, None)
    name, total = attribute.name, sum(rates.values())
    if rates.keys() != set(attribute.values) or abs(total - 1) > 0.01:
        message = f"{where}: the rates of {name} must name {', '.join(attribute.values)} and sum to 1"
        raise InputError(message, hint=f"rates: {{{name}: {{{attribute.values[0]}: 0.5, ...}}}}")
    if accuracy is not None and accuracy <= max(rates.values()):
        message = f"{where}: the accuracy of {name}, {accuracy:g}, is not above the rate of its most frequent value"
        raise InputError(f"{message}, {max(rates.values()):g}", hint=f"accuracy: {{{name}: 0.98}}")
    return Goal(len(attribute.values), accuracy, tuple(rates[value] / total for value in attribute.values))
