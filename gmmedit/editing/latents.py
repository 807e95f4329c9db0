"""Latents from a file: which of its arrays they are, and of which space."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.editing.latent_files import Arrays, list_arrays
from gmmedit.editing.request import LATENT_SPACES, LatentSpace
from gmmedit.errors import InputError
from gmmedit.generators import Generator

HUGE = 1e6  # for a coordinate of a latent
SHOWN = 8  # names in a message
HINT = "docs/latents.md lists what is read"
# What the name of an array says of it: the spaces that it may be of.
NAMES: dict[str, tuple[LatentSpace, ...]] = {
    **dict.fromkeys(["z", "zs", "z_latents", "latent_z", "latents_z"], ("z",)),
    **dict.fromkeys(["w", "projected_w", "latent_w", "latents_w"], ("w", "w+")),
    **dict.fromkeys(["w+", "wp", "ws", "w_plus", "wplus", "latent_wp", "latents_wp"], ("w+",)),
    **dict.fromkeys(["latent", "latents", "latent_code", "latent_codes", "code", "codes", "arr_0"], LATENT_SPACES),
}


@dataclass(frozen=True)
class Reading:
    """One way to understand an array: `shape` is (N, D), or (N, L, D) in W+."""

    space: LatentSpace
    shape: tuple[int, ...]

    def __str__(self) -> str:
        count = "one latent" if self.shape[0] == 1 else f"{self.shape[0]} latents"
        return f"{count} of {self.space.upper()}"


def read_latents(
    source: Path, edited: str, generator: Generator, told: LatentSpace | None
) -> tuple[LatentSpace, Tensor]:
    """The space of the latents in a file, and the latents in float32: z or w (N, D), or W+ (N, L, D).

    source: FILE or FILE:KEY. edited: "z" or "w", the space of the run. told: what the user says that they are.
    InputError: no such file or array; several arrays, or several ways to read one, and nothing to tell them apart by;
    other shapes; NaN, infinite or huge values; latents of W where Z is edited.
    """
    path, key = split_key(source)
    arrays = list_arrays(path, HINT)
    name = choose_array(path, arrays, key, edited)
    array = arrays[name]()
    reading = choose_reading(f"{path}: {name}", array, names_spaces(name), generator, told)
    if edited == "z" and reading.space != "z":
        message = f"{path}: {name} holds latents of W, and the run edits in Z"
        raise InputError(message, hint="gmmedit fit-single --space w --force, or latents of Z")
    latent = torch.from_numpy(array.astype(np.float64)).float().reshape(reading.shape)
    if not (latent.abs() < HUGE).all():
        raise InputError(f"{path}: {name} holds NaN or infinite or huge values", hint=HINT)
    return reading.space, latent


def split_key(source: Path) -> tuple[Path, str | None]:
    """`FILE:KEY` to both; a file whose name has a colon is a file."""
    text = str(source)
    for place in range(len(text), 0, -1):
        if place == len(text) or text[place] == ":":
            path = Path(text[:place])
            if path.exists():
                return path, text[place + 1 :] or None
    return source, None


def names_spaces(name: str) -> tuple[LatentSpace, ...] | None:
    """The spaces that an array of this name may be of. None: the name says nothing."""
    return NAMES.get(name.rpartition("/")[2].lower().replace("-", "_"))


def choose_array(path: Path, arrays: Arrays, key: str | None, edited: str) -> str:
    """The name of the array that holds the latents."""
    names = list(arrays)
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    if key is not None and key not in arrays:
        raise InputError(f"{path} has no {key!r}, it holds {shown or 'nothing'}", hint=HINT)
    if key is not None:
        return key
    known = [name for name in names if names_spaces(name)] or names
    wanted = {"z"} if edited == "z" else {"w", "w+"}
    candidates = [name for name in known if wanted.intersection(names_spaces(name) or LATENT_SPACES)] or known
    if not candidates:
        raise InputError(f"{path} holds no arrays", hint=HINT)
    if len(candidates) > 1:
        message = f"{path} holds {shown}: any of them may be the latents"
        raise InputError(message, hint=f"say which: --latents {path}:{candidates[0]}")
    return candidates[0]


def choose_reading(
    what: str, array: np.ndarray, named: tuple[LatentSpace, ...] | None, generator: Generator, told: LatentSpace | None
) -> Reading:
    """The one way to read an array. InputError: there is none, or several."""
    allowed = (told,) if told else named or LATENT_SPACES
    found = [reading for reading in readings(array.shape, generator) if reading.space in allowed]
    if array.dtype.kind != "f" or not array.size or not found:
        message = f"{what} is {array.dtype} of shape {array.shape}"
        raise InputError(f"{message}, floats of shape {expected(generator, allowed)} were expected", hint=HINT)
    if len(found) > 1:
        ways = " or ".join(str(reading) for reading in found)
        hint = " or ".join(f"--latents-space {reading.space}" for reading in found)
        raise InputError(f"{what}, of shape {array.shape}, may be {ways}", hint=hint)
    return found[0]


def readings(shape: tuple[int, ...], generator: Generator) -> Iterator[Reading]:
    """Every way to read an array of this shape as latents of the generator."""
    layers, size = generator.w_shape or (0, 0)
    single = (1, *shape) if len(shape) == 1 else shape
    if len(single) == 2 and single[1] == generator.z_dim:
        yield Reading("z", single)
    if layers and single[1:] in ((size,), (1, size)):
        yield Reading("w", (single[0], size))
    if layers > 1 and shape[-2:] == (layers, size) and len(shape) in (2, 3):
        yield Reading("w+", shape if len(shape) == 3 else (1, *shape))


def expected(generator: Generator, spaces: tuple[LatentSpace, ...]) -> str:
    """The shapes of latents of these spaces."""
    layers, size = generator.w_shape or (0, 0)
    shapes = {"z": f"(N, {generator.z_dim})", "w": f"(N, {size})", "w+": f"(N, {layers}, {size})"}
    known = [shapes[space] for space in spaces if layers or space == "z"]
    return " or ".join(dict.fromkeys(known)) or shapes["z"]
