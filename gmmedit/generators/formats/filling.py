"""A network of a file's tensors: nothing is allocated that the file does not hold."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from gmmedit.generators.base import Generator
from gmmedit.networks import weights
from gmmedit.networks.lazy_tensors import Readable
from gmmedit.networks.pickle_machine import Refused

LARGEST_IMAGE = 8192  # pixels along a side

G = TypeVar("G", bound=Generator)


def filled(build: Callable[[], G], tensors: Mapping[str, Readable | Tensor], path: Path) -> G:
    """The network that `build` makes, with the tensors under its own names; others are never read.

    `build` runs without memory: sums and products there cost a second, for which PyTorch loads its compiler.
    Refused: one is missing or has another shape, or they are more than the file can hold.
    """
    with torch.device("meta"):
        network = build()
    if max(network.image_shape[1:]) > LARGEST_IMAGE:
        raise Refused(f"says that its pictures have {max(network.image_shape[1:])} pixels along a side")
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    if missing:
        others = f", nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise Refused(f"has no tensor {missing[0]}{others}")
    for name, slot in expected.items():
        if tuple(tensors[name].shape) != tuple(slot.shape):
            found, wanted = list(tensors[name].shape), list(slot.shape)
            raise Refused(f"has {name} of shape {found} where {wanted} was expected")
    stored = sum(slot.numel() for name, slot in expected.items() if not isinstance(tensors[name], Tensor))
    if stored > path.stat().st_size:
        raise Refused("has tensors that overlap")
    state = {name: read(tensors[name]).to(slot.dtype) for name, slot in expected.items()}
    network.load_state_dict(state, assign=True)
    network.fingerprint = weights.fingerprint(state)
    return network


def read(tensor: Readable | Tensor) -> Tensor:
    return tensor if isinstance(tensor, Tensor) else tensor.read()
