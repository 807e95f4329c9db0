"""A graphics card that does not exist: tensors with device, shape and type but no numbers.

On it, mixing tensors of the CPU with those of the card is an error, as on a real one; so is whatever asks for a number
(`.item()`, `float(tensor)`, a mask as an index), for which a real one would wait. Forward passes only.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode

CARD = "cuda:0"
Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def fake_card() -> Iterator[None]:
    """All tensors made inside have no numbers."""
    with FakeTensorMode(), torch.no_grad(), ExitStack() as stack:
        stack.enter_context(patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False))
        stack.enter_context(patch.object(torch.cuda, "is_bf16_supported", lambda: True))
        for name, method in METHODS.items():
            stack.enter_context(patch.object(FakeTensor, name, method, create=True))
        yield


def ghost(tensor: Tensor, device: str = CARD) -> Tensor:
    """A tensor without numbers, of the same shape and type, inside `fake_card`."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


def onto_card(module: Module, device: str = CARD) -> Module:
    """The module, whose parameters and buffers become those of the card, inside `fake_card`."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(ghost(parameter, device), requires_grad=False)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = ghost(buffer, device)
    return module


def write(tensor: Tensor, index: Any, value: Any) -> None:
    """tensor[index] = value, without a mask."""
    value = value if isinstance(value, Tensor) else torch.full((), value, dtype=tensor.dtype)
    torch.ops.aten.copy_.default(read(tensor, index), value)


def contiguous(tensor: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    """tensor.contiguous()."""
    return torch.ops.aten.contiguous.default(tensor, memory_format=memory_format)


def invert(tensor: Tensor) -> Tensor:
    """~tensor."""
    return torch.ops.aten.bitwise_not.default(tensor)


def read(tensor: Tensor, index: Any) -> Tensor:
    """tensor[index]; an index on another device is an error, as it would be copied in every call."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part for part in parts if not isinstance(part, Tensor)]:
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        missing = tensor.ndim - sum(part is not None for part in parts) + 1
        parts[place : place + 1] = [slice(None)] * missing
    dim, chosen = 0, {}
    for part in parts:
        if part is None:
            tensor = tensor.unsqueeze(dim)
        elif isinstance(part, slice):
            tensor = torch.ops.aten.slice.Tensor(tensor, dim, part.start, part.stop, part.step or 1)
        elif isinstance(part, int):
            tensor = tensor.select(dim, part)
            continue
        else:
            part = torch.tensor(part, device=tensor.device) if isinstance(part, list) else part
            if part.dtype == torch.bool:
                raise DynamicOutputShapeException(torch.ops.aten.nonzero.default)
            assert part.device == tensor.device, f"an index on {part.device} of a tensor on {tensor.device}"
            chosen[dim] = part
        dim += 1
    if not chosen:
        return tensor
    return torch.ops.aten.index.Tensor(tensor, [chosen.get(i) for i in range(max(chosen) + 1)])


# What PyTorch without CUDA refuses to tensors of a card, in terms of what it does not refuse.
METHODS = {"__getitem__": read, "__setitem__": write, "contiguous": contiguous, "__invert__": invert}
