"""Latents from a file: which array holds them, and of which space they are."""

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
from gmmedit.runtime.commands import on_run

HUGE = 1e6  # coordinates beyond are refused
MAX_NAMES = 8  # of arrays in a message
HINT = "docs/latents.md lists the accepted formats"
# The spaces that an array of this name may be of.
NAMES: dict[str, tuple[LatentSpace, ...]] = {
    **dict.fromkeys(["z", "zs", "z_latents", "latent_z", "latents_z"], ("z",)),
    **dict.fromkeys(["w", "projected_w", "latent_w", "latents_w"], ("w", "w+")),
    **dict.fromkeys(["w+", "wp", "ws", "w_plus", "wplus", "latent_wp", "latents_wp"], ("w+",)),
    **dict.fromkeys(["latent", "latents", "latent_code", "latent_codes", "code", "codes", "arr_0"], LATENT_SPACES),
}


@dataclass(frozen=True)
class Reading:
    """One interpretation of an array: its space, and its shape (N, D), or (N, L, D) in W+."""

    space: LatentSpace
    shape: tuple[int, ...]

    def __str__(self) -> str:
        count = "one latent" if self.shape[0] == 1 else f"{self.shape[0]} latents"
        return f"{count} of {self.space.upper()}"


def read_latents(
    source: Path, run_space: str, generator: Generator, given: LatentSpace | None, run: Path
) -> tuple[LatentSpace, Tensor]:
    """The space of the latents in a file, and the latents as float32: z or w (N, D), or W+ (N, L, D).

    source: FILE or FILE:KEY. run_space: "z" or "w". given: the space that the user names. run: the run folder.
    InputError: the file or array is missing; several arrays or several interpretations are possible; the shape fits no
    latent; values are not finite or above HUGE; latents of W where the run edits in Z.
    """
    path, key = split_key(source)
    arrays = list_arrays(path, HINT)
    name = choose_array(path, arrays, key, run_space)
    array = arrays[name]()
    reading = choose_reading(f"{path}: {name}", array, spaces_of_name(name), generator, given)
    if run_space == "z" and reading.space != "z":
        message = f"{path}: {name} holds latents of W, but the run edits in Z"
        commands = ("gmmedit fit-single --space w --force", "gmmedit fit-mixture --force")
        hint = f"use latents of Z, or run: {' && '.join(on_run(command, run) for command in commands)}"
        raise InputError(message, hint=hint)
    latent = torch.from_numpy(array.astype(np.float64)).float().reshape(reading.shape)
    if not (latent.abs() < HUGE).all():
        raise InputError(f"{path}: {name} holds NaN, infinite or very large values", hint=HINT)
    return reading.space, latent


def split_key(source: Path) -> tuple[Path, str | None]:
    """`FILE:KEY` to the path and the key; a colon in the name of an existing file is part of its name."""
    text = str(source)
    for end in range(len(text), 0, -1):
        if end == len(text) or text[end] == ":":
            path = Path(text[:end])
            if path.exists():
                return path, text[end + 1 :] or None
    return source, None


def spaces_of_name(name: str) -> tuple[LatentSpace, ...] | None:
    """The spaces that an array of this name may be of; None for an unknown name."""
    return NAMES.get(name.rpartition("/")[2].lower().replace("-", "_"))


def choose_array(path: Path, arrays: Arrays, key: str | None, run_space: str) -> str:
    """The name of the array that holds the latents: `key`, else by name and space. InputError: none or several."""
    names = list(arrays)
    shown = ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
    if key is not None and key not in arrays:
        raise InputError(f"{path} has no array {key!r}, it holds {shown or 'nothing'}", hint=HINT)
    if key is not None:
        return key
    known = [name for name in names if spaces_of_name(name)] or names
    wanted = {"z"} if run_space == "z" else {"w", "w+"}
    candidates = [name for name in known if wanted.intersection(spaces_of_name(name) or LATENT_SPACES)] or known
    if not candidates:
        raise InputError(f"{path} holds no arrays", hint=HINT)
    if len(candidates) > 1:
        message = f"{path} holds {shown}: ambiguous, which one holds the latents"
        raise InputError(message, hint=f"name one: --latents {path}:{candidates[0]}")
    return candidates[0]


def choose_reading(
    name: str, array: np.ndarray, named: tuple[LatentSpace, ...] | None, generator: Generator, given: LatentSpace | None
) -> Reading:
    """The only possible interpretation of the array `name`. InputError: there is none, or several."""
    allowed = (given,) if given else named or LATENT_SPACES
    found = [reading for reading in list_readings(array.shape, generator) if reading.space in allowed]
    if array.dtype.kind != "f" or not array.size or not found:
        message = f"{name} is {array.dtype} of shape {array.shape}"
        raise InputError(f"{message}, expected floats of shape {expected_shapes(generator, allowed)}", hint=HINT)
    if len(found) > 1:
        meanings = " or ".join(str(reading) for reading in found)
        hint = " or ".join(f"--latents-space {reading.space}" for reading in found)
        raise InputError(f"{name} of shape {array.shape} is ambiguous: {meanings}", hint=hint)
    return found[0]


def list_readings(shape: tuple[int, ...], generator: Generator) -> Iterator[Reading]:
    """All interpretations of an array of this shape as latents of the generator."""
    layers, size = generator.w_shape or (0, 0)
    single = (1, *shape) if len(shape) == 1 else shape
    if len(single) == 2 and single[1] == generator.z_dim:
        yield Reading("z", single)
    if layers and single[1:] in ((size,), (1, size)):
        yield Reading("w", (single[0], size))
    if layers > 1 and shape[-2:] == (layers, size) and len(shape) in (2, 3):
        yield Reading("w+", shape if len(shape) == 3 else (1, *shape))


def expected_shapes(generator: Generator, spaces: tuple[LatentSpace, ...]) -> str:
    """The shapes of latents of these spaces, as text."""
    layers, size = generator.w_shape or (0, 0)
    shapes = {"z": f"(N, {generator.z_dim})", "w": f"(N, {size})", "w+": f"(N, {layers}, {size})"}
    known = [shapes[space] for space in spaces if layers or space == "z"]
    return " or ".join(dict.fromkeys(known)) or shapes["z"]
