"""Networks as safetensors files: tensors, and their configuration as JSON in the metadata."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import check_utf8
from gmmedit.runtime.storage import write_file

N = TypeVar("N", bound=nn.Module)
Build = Callable[[dict[str, Any], dict[str, Tensor], str], N]
Restore = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
TRAINING = "training"  # in the configuration
LONGEST_HEADER = 100_000_000  # bytes: the limit of safetensors
HINT = "give the safetensors file of a network that gmmedit wrote"


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], key: str, config: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write the tensors, and the configuration as JSON under `key`; a file at `path` is replaced atomically.

    training: facts about how they came about, which `read_training` returns and `read_weights` ignores.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    described = {**config, TRAINING: training} if training else config
    write_file(path, save(whole, {key: json.dumps(described)}))  # one key: safetensors does not order several


def read_weights(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of a file that `write_weights` made with the same key.

    InputError: there is no such file, it is damaged, or of another kind.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}", hint=HINT)
    check_utf8(path, "safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})[key])
            if isinstance(config, dict):
                config.pop(TRAINING, None)
            return config, {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a {key} file that gmmedit wrote: {reason}", hint=HINT) from error


def read_network(path: Path, key: str, build: Build[N], restore: Restore | None = None) -> N:
    """The network in a file that `write_weights` made with this key, on the CPU, frozen, in evaluation mode.

    build: makes it of its configuration, the stored tensors and the fingerprint, without memory for its own tensors,
    since a received configuration may ask for any size; what it raises for a wrong one is reported. restore: stored
    tensors to those of the network; None: numbers become float32. InputError: there is no such file, it is damaged, or
    of another kind.
    """
    config, tensors = read_weights(path, key)
    try:
        network = assemble(
            lambda: build(config, tensors, fingerprint_tensors(tensors)), lambda: (restore or to_single)(tensors)
        )
    except ValueError as error:
        raise InputError(f"{path}: weights and configuration do not match: {error}", hint=HINT) from error
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise InputError(f"{path}: {bad[0]} is not finite", hint="train it again, in another --out")
    return network


def assemble(build: Callable[[], N], stored: Callable[[], Mapping[str, Tensor]]) -> N:
    """The network that `build` makes, without memory for tensors of its own, with those of `stored`, frozen.

    It is in evaluation mode. ValueError: either of them fails, or they do not match; it says why, in one line.
    """
    try:
        with torch.device("meta"):
            network = build()
        network.load_state_dict(stored(), assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise ValueError(reason) from error
    return network.eval().requires_grad_(False)


def to_single(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, those of floating point in float32."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def check_names(*groups: Sequence[str]) -> None:
    """ValueError: a name that a training never writes: empty, not printable, or twice in a group, as of attributes."""
    for names in groups:
        odd = [name for name in names if not name.strip() or name != name.strip() or not name.isprintable()]
        if odd:
            raise ValueError(f"it has a name {odd[0]!r}")
        if len(set(names)) < len(names):
            raise ValueError(f"it has the name {max(names, key=names.count)!r} twice")


def starts_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is in safetensors: the length of a header, which begins with a brace.

    The length may have the bytes with which a pickle begins.
    """
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER


def find_key(path: Path, keys: Iterable[str]) -> str | None:
    """The first of `keys` with which `write_weights` made a file; None: it is another one, or it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            there = file.metadata() or {}
    except (SafetensorError, ValueError, OSError):
        return None
    return next((key for key in keys if key in there), None)


def read_training(path: Path, key: str) -> dict[str, Any] | None:
    """What a file of `write_weights` tells of its training, nothing if empty; None: it is not one of that key."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[key]).get(TRAINING)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else {}


def fingerprint_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of the tensors, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
