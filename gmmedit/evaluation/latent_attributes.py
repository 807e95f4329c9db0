"""Labelled attributes that a generator's latents hold themselves, matched by names and values."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gmmedit.editors.base import Structure
from gmmedit.generators import Generator


def find_codes(generator: Generator, attributes: Sequence[tuple[str, Sequence[str]]]) -> dict[int, tuple[int, float]]:
    """Categories that are units of the generator's latent, matched by name: the unit, and the value for the category.

    attributes: names and values of the labels, whose values are the categories in order.
    """
    names = [(name, value) for name, values in attributes for value in values]
    units = [(name, value) for name, values in generator.units for value in values]
    places = {named: (place // 2, float(place % 2)) for place, named in enumerate(units)}
    return {category: places[named] for category, named in enumerate(names) if named in places}


def find_structure(generator: Generator, attributes: Sequence[tuple[str, Sequence[str]]]) -> Structure | None:
    """The causes in the generator's W and where the categories are among them; None: it has no causes."""
    if not generator.causes:
        return None
    names = [(name, value) for name, values in attributes for value in values]
    there = {
        (name, value): (node, place, len(values))
        for node, (name, values) in enumerate(generator.causes)
        for place, value in enumerate(values)
    }
    places = {category: there[named] for category, named in enumerate(names) if named in there}

    def counterfactual(w: Tensor, changes: Mapping[int, Tensor]) -> Tensor:
        return generator.counterfactual(w, {node: to_numbers(generator, node, each) for node, each in changes.items()})

    return Structure(counterfactual, places)


def to_numbers(generator: Generator, node: int, classes: Tensor) -> Tensor:
    """Classes (N,) of a number as the numbers that stand for them, in units of the range; other values as they are."""
    scale = generator.scales[node] if generator.scales else None
    if scale is None:
        return classes
    return torch.tensor([scale.share(each) for each in scale.middles], device=classes.device)[classes]
