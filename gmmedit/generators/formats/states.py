"""State dictionaries: tensors by name, and their conversion to StyleGAN2."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from gmmedit.generators.formats.filling import fill_network
from gmmedit.generators.resampling import fir_filter
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.networks.lazy_tensors import Readable
from gmmedit.networks.pickle_values import Inert, Refused, shorten

MAX_PARTS = 64  # layers or blocks of one kind
LONGEST_FILTER = 64  # taps
PLACE = re.compile(r"synthesis\.b(\d+)\.(conv0|conv1|torgb|skip)\.(.+)")


class State(dict[str, Readable]):
    """The tensors of a state dictionary by name. Refused: a requested tensor is missing."""

    def __init__(self, tensors: Mapping[str, Readable] = MappingProxyType({})) -> None:
        super().__init__(tensors)
        self.requested: set[str] = set()

    def __getitem__(self, name: str) -> Readable:
        self.requested.add(name)
        return super().__getitem__(name)

    def __missing__(self, name: str) -> Readable:
        raise Refused(f"has no tensor {name}")

    def check_all_used(self, family: str, ignored: str) -> None:
        """Refused: a tensor was not requested whose name does not match `ignored`: the network is a variant."""
        left = {name for name, value in self.items() if not isinstance(value, Inert)} - self.requested
        strange = sorted(name for name in left if not re.fullmatch(ignored, name))
        if strange:
            raise Refused(f"has a tensor {shorten(strange[0])}, which no {family} has")

    def length(self, name: str) -> int:
        """Length of a tensor's first dimension."""
        shape = self[name].shape
        if not shape:
            raise Refused(f"has {name} as a single number")
        return shape[0]

    def width(self, name: str) -> int:
        """Columns of a matrix."""
        shape = self[name].shape
        if len(shape) != 2:
            raise Refused(f"has {name} of shape {list(shape)}, expected a matrix")
        return shape[1]

    def sides(self, name: str) -> tuple[int, int]:
        """Height and width of images (..., C, H, W)."""
        shape = self[name].shape
        if len(shape) < 3:
            raise Refused(f"has {name} of shape {list(shape)}, expected images")
        return shape[-2], shape[-1]

    def extent(self, pattern: str, limit: int = MAX_PARTS) -> int:
        """One more than the greatest number that the pattern's group matches in the names; 0 if none does.

        Refused: it is above `limit`.
        """
        numbers = [int(match[1]) for name in self if (match := re.match(pattern, name))]
        extent = max(numbers, default=-1) + 1
        if extent > limit:
            raise Refused(f"numbers its tensors up to {extent - 1}")
        return extent


@dataclass(frozen=True)
class Place:
    """Where a tensor of StyleGAN2's synthesis belongs, e.g. `synthesis.b16.conv0.affine.weight` to block 2."""

    block: int  # 0 for 4x4, 1 for 8x8, ...
    layer: Literal["conv0", "conv1", "torgb", "skip"]
    part: str

    @classmethod
    def parse(cls, name: str) -> "Place":
        """The place of a tensor of that name."""
        match = PLACE.fullmatch(name)
        assert match is not None, name
        return cls(int(match[1]).bit_length() - 3, match[2], match[3])  # type: ignore[arg-type]


def convert_stylegan2(config: StyleGAN2Config, path: Path, source: Callable[[str], Readable | Tensor]) -> StyleGAN2:
    """The StyleGAN2 whose tensors `source` finds by name; the filters follow from the configuration.

    Refused: a tensor is missing, or does not have the shape of the configuration.
    """
    with torch.device("meta"):
        names = StyleGAN2(config).state_dict().keys()
    plane = fir_filter(config.resample_filter)
    tensors = {name: plane if name.endswith("resample_filter") else source(name) for name in names}
    return fill_network(lambda: StyleGAN2(config), tensors, path)


def read_taps(kernel: Readable) -> tuple[float, ...]:
    """A separable filter (..., T, T) as T numbers that sum to one. Refused: it has another shape."""
    if len(kernel.shape) < 2 or max(kernel.shape) > LONGEST_FILTER:
        raise Refused(f"has a filter of shape {list(kernel.shape)}")
    line = kernel.read().float().reshape(kernel.shape[-2:]).sum(0)
    return tuple((line / line.sum()).tolist())
