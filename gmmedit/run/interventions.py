"""Interventions in a generator's own causes: parsed from `--do NAME=VALUE`, and read again in images by its encoder."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gmmedit import encoders
from gmmedit.errors import InputError, nearest
from gmmedit.generators import Generator
from gmmedit.networks.scales import class_of

Act = int | float  # the index of a value; of a number, the number in units of its range, in [0, 1]
CLOSE = 0.02  # of the range, within which a number that is read is the one that was set


def find_acts(generator: Generator, do: Sequence[str], gan: str) -> dict[int, Act]:
    """The interventions `NAME=VALUE` by place among the generator's causes. gan: its name, for errors.

    InputError: the generator has no such attribute or value, or a number is out of its range.
    """
    found: dict[int, Act] = {}
    if do and not generator.causes:
        raise InputError(f"the latents of {gan} hold no causes", hint="omit --do; gmmedit train bigan")
    for text in do:
        name, _, value = text.partition("=")
        place = find_place(generator, name, gan, repr(text))
        if place in found:
            raise InputError(f"--do {text!r}: {name} is set twice", hint="one value for each attribute")
        found[place] = parse_act(generator, place, value)
    return found


def parse_act(generator: Generator, place: int, value: str | None) -> Act:
    """The value of the attribute at a place among the causes; None: the second of two. InputError: as `find_acts`."""
    name, values = generator.causes[place]
    scale = generator.scales[place] if generator.scales else None
    if value is None and scale is None and len(values) == 2:
        return 1
    if value is None:
        examples = f"{name}={scale.mean:.3g}" if scale else ", ".join(f"{name}={each}" for each in values)
        raise InputError(f"--do {name} names no value", hint=f"name one: {examples}")
    if scale is None:
        if value not in values:
            raise InputError(f"--do {name}={value}: {name} has no value {value!r}", hint=nearest(value, values))
        return values.index(value)
    if value in values:
        return float(scale.share(scale.middles[values.index(value)]))
    try:
        number = float(value)
    except ValueError:
        raise InputError(f"--do {name}={value}: {name} is a number", hint=f"within {scale}") from None
    if not scale.holds(number):
        raise InputError(f"--do {name}={value} is out of the range of {name}", hint=f"within {scale}")
    return float(scale.share(number))


def to_tensors(acts: Mapping[int, Act], n: int, device: torch.device) -> dict[int, Tensor]:
    """Acts as `Generator.counterfactual` takes them, for n latents."""
    return {place: torch.full((n,), value, device=device) for place, value in acts.items()}


@torch.no_grad()
def describe_reading(generator: Generator, acts: Mapping[int, Act], gan: str, images: Tensor) -> list[str]:
    """For each act, what the encoder in the generator's own file reads in images (N, C, H, W) that were made so."""
    w = encoders.load(gan, str(generator.device)).encode(images.to(generator.device)).flatten(1)
    lines, read = [], generator.read_causes(w).cpu()
    for place, value in acts.items():
        (name, values), scale = generator.causes[place], generator.scales[place] if generator.scales else None
        column = read[:, place]
        if scale is None:
            share = (column == value).float().mean().item()
            lines.append(
                f"do({name}={values[int(value)]}): its own encoder reads that in {share:.1%} of {len(w)} samples"
            )
            continue
        close = ((column - value).abs() <= CLOSE).float().mean().item()
        mean, error = (
            scale.number(column.mean().item()),
            (column - value).abs().mean().item() * (scale.high - scale.low),
        )
        lines.append(
            f"do({name}={scale.number(value):.4g}): its own encoder reads {mean:.4g} on average of {len(w)} samples, "
            f"{error:.2g} away from that; {close:.1%} are within {CLOSE:.0%} of the range"
        )
    return lines


def find_place(generator: Generator, name: str, gan: str, text: str) -> int:
    """The place of an attribute among the generator's causes. InputError: it has none of that name.

    text: of the act, for errors.
    """
    names = [each for each, _ in generator.causes]
    if name not in names:
        raise InputError(f"--do {text}: {gan} has no attribute {name!r}", hint=nearest(name, names))
    return names.index(name)


def value_of(generator: Generator, place: int, act: Act) -> int:
    """The index of the value, or of the class of the number."""
    scale = generator.scales[place] if generator.scales else None
    if scale is None:
        return int(act)
    found = class_of(generator.causes[place][1], float(scale.number(act)))
    assert found is not None  # within the range
    return found
