"""Build a network from the tensors of a file, without allocating more than the file holds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from gmmedit.generators.base import Generator
from gmmedit.generators.discriminator import Discriminator
from gmmedit.networks import weights
from gmmedit.networks.lazy_tensors import Readable
from gmmedit.networks.pickle_values import Refused

LARGEST_IMAGE = 8192  # pixels along a side

G = TypeVar("G", bound=Generator | Discriminator)


def fill_network(build: Callable[[], G], tensors: Mapping[str, Readable | Tensor], path: Path) -> G:
    """The network of `build` with the tensors of its own names; other tensors are never read.

    `build` runs on the meta device, where it should not compute: that would load PyTorch's compiler, a second.
    Refused: a tensor is missing or has another shape, or they are larger than the file.
    """
    with torch.device("meta"):
        network = build()
    if max(network.image_shape[1:]) > LARGEST_IMAGE:
        raise Refused(f"has images of {max(network.image_shape[1:])} pixels, more than {LARGEST_IMAGE}")
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    if missing:
        others = f", and lacks {len(missing) - 1} others" if len(missing) > 1 else ""
        raise Refused(f"has no tensor {missing[0]}{others}")
    for name, slot in expected.items():
        if tuple(tensors[name].shape) != tuple(slot.shape):
            found, wanted = list(tensors[name].shape), list(slot.shape)
            raise Refused(f"has {name} of shape {found}, expected {wanted}")
    stored = sum(slot.numel() for name, slot in expected.items() if not isinstance(tensors[name], Tensor))
    if stored > path.stat().st_size:
        raise Refused("has overlapping tensors")
    state = {name: read_tensor(tensors[name]).to(slot.dtype) for name, slot in expected.items()}
    network.load_state_dict(state, assign=True)
    network.fingerprint = weights.fingerprint_tensors(state)
    return network


def read_tensor(tensor: Readable | Tensor) -> Tensor:
    """The tensor itself, read if it is still in its file."""
    return tensor if isinstance(tensor, Tensor) else tensor.read()
