"""Tensors that stay in their file until they are read; shapes and offsets are checked against their storage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gmmedit.networks.pickle_values import Refused, Span, shorten

STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"}  # the numpy types that a file may hold
TRUNCATED = "invalid header length", "incomplete metadata", "not fully covered"  # what safetensors says of such files
MAX_DIMS = 8
LARGEST = 1 << 40


@dataclass(frozen=True)
class Storage:
    """A flat array of numbers in a file."""

    dtype: torch.dtype
    span: Span

    @property
    def numel(self) -> int:
        """How many numbers there are."""
        return self.span.size // self.dtype.itemsize

    def read(self, first: int, count: int) -> Tensor:
        """The numbers [first, first + count) as a flat tensor. EOFError: the file is shorter."""
        values = torch.empty(count, dtype=self.dtype)
        buffer = values.view(torch.uint8).numpy()
        with self.span.source.open("rb") as file:
            file.seek(self.span.start + first * self.dtype.itemsize)
            if file.readinto(buffer.data) != buffer.size:  # type: ignore[attr-defined]
                raise EOFError
        return values


def check_sizes(numbers: object) -> tuple[int, ...]:
    """The tuple of lengths, strides or offsets from a file. Refused: negative, too large, or something else."""
    if not isinstance(numbers, tuple) or len(numbers) > MAX_DIMS:
        raise Refused(f"has a tensor whose shape is not a tuple of at most {MAX_DIMS} sizes")
    if not all(type(size) is int and 0 <= size < LARGEST for size in numbers):
        raise Refused("has a tensor with a negative or impossible size, stride or offset")
    return numbers


class LazyTensor:
    """A tensor of a file: its shape is known at once, its numbers are read by `read`.

    `open` finds the storage. `read` raises Refused if the tensor has more numbers than its storage or reaches
    outside it.
    """

    def __init__(self, open: Callable[[], Storage], offset: object, shape: object, stride: object) -> None:
        self.open = open
        self.shape, self.stride, (self.offset,) = check_sizes(shape), check_sizes(stride), check_sizes((offset,))
        if len(self.shape) != len(self.stride):
            raise Refused(f"has a tensor of {len(self.shape)} dimensions and {len(self.stride)} strides")

    @property
    def numel(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.shape)

    def read(self) -> Tensor:
        """The tensor, contiguous. Refused: it reaches outside its storage. EOFError: the file is truncated."""
        storage = self.open()
        if not self.numel:
            return torch.empty(self.shape, dtype=storage.dtype)
        reach = 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        if max(self.offset + reach, self.numel) > storage.numel:
            raise Refused(f"has a tensor of shape {list(self.shape)} that reaches outside its storage")
        return storage.read(self.offset, reach).as_strided(self.shape, self.stride).contiguous()


class StoredTensor(LazyTensor):
    """A tensor of a safetensors file; the library checks its place."""

    def __init__(self, path: Path, name: str, shape: Sequence[int]) -> None:
        self.path, self.name, self.shape = path, name, tuple(shape)

    def read(self) -> Tensor:
        """The tensor. SafetensorError: the file is damaged."""
        with safe_open(self.path, framework="pt") as file:
            return file.get_tensor(self.name)


def read_safetensors(path: Path) -> dict[str, LazyTensor]:
    """The tensors of a safetensors file by name. EOFError: it is truncated. SafetensorError: it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: StoredTensor(path, name, file.get_slice(name).get_shape()) for name in list(file.keys())}
    except SafetensorError as error:
        if any(words in str(error) for words in TRUNCATED):
            raise EOFError from error
        raise


class Readable(Protocol):
    """Anything with a known shape whose tensor is read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its dimensions."""

    def read(self) -> Tensor:
        """The tensor, on the CPU."""


class Derived:
    """A tensor computed from another when it is read, e.g. `Derived(kernel, lambda x: x.flip(2, 3))`."""

    def __init__(self, source: Readable, convert: Callable[[Tensor], Tensor]) -> None:
        self.source, self.convert = source, convert
        self.shape = tuple(convert(torch.empty(source.shape, device="meta")).shape)

    def read(self) -> Tensor:
        """The converted tensor, contiguous."""
        return self.convert(self.source.read()).contiguous()


class DType:
    """A little-endian numpy type by its code, e.g. "f4". Others are refused when numbers are read."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = code, "<"

    def build(self, state: Any) -> None:
        """Take the byte order from pickle's BUILD state."""
        self.order = "unknown"
        self.order = state[1]

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type. Refused: an unknown or big-endian one."""
        if not isinstance(self.code, str) or self.code not in NUMBERS:
            raise Refused(f"holds a numpy array of the type {shorten(str(self.code))}")
        if self.order not in ("<", "|", "="):
            raise Refused("holds big-endian numbers")
        return np.dtype(self.code)

    @property
    def torch(self) -> torch.dtype:
        """The torch type. Refused: as `numpy`."""
        return torch.from_numpy(np.empty(0, self.numpy)).dtype


class Array(LazyTensor):
    """A numpy array: pickle creates it empty and fills it afterwards."""

    def __init__(self, *_: object) -> None:
        super().__init__(refuse_empty_array, 0, (0,), (1,))

    def build(self, state: Any) -> None:
        """Take pickle's BUILD state: (version, shape, type, Fortran order, bytes)."""
        _version, shape, dtype, in_columns, data = state
        self.fill(data, dtype, shape, in_columns)

    def fill(self, data: object, dtype: object, shape: object, in_columns: object) -> "Array":
        """Set bytes, type, shape and order ("F" or true: column-major), and return the array."""

        def numbers() -> Storage:
            if not isinstance(dtype, DType) or not isinstance(data, Span):
                raise Refused("has a numpy array without data")
            return Storage(dtype.torch, data)

        lengths = check_sizes(shape)
        if in_columns in (True, "F"):
            steps = column_strides(lengths)
        else:
            steps = column_strides(lengths[::-1])[::-1]
        super().__init__(numbers, 0, lengths, steps)
        return self


def refuse_empty_array() -> Storage:
    """Refused: an array that was never given numbers."""
    raise Refused("has a numpy array without data")


def column_strides(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a column-major array: (a, b, c) to (1, a, ab)."""
    return tuple(math.prod(lengths[:place]) for place in range(len(lengths)))


def make_scalar(dtype: object, data: object) -> int | float | bool:
    """A numpy scalar as a Python number. Refused: type or size are not those of a number."""
    if not isinstance(dtype, DType) or not isinstance(data, Span) or data.size != dtype.numpy.itemsize:
        raise Refused("has a numpy scalar in an unknown form")
    return np.frombuffer(data.read(), dtype.numpy)[0].item()
