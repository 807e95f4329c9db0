"""Encoders by name or file, and the encoder that belongs to a generator."""

from collections.abc import Callable, Iterable
from pathlib import Path

from gmmedit.encoders import bigan, convnet, ifcvae, saae
from gmmedit.encoders.base import Encoder
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.networks import weights
from gmmedit.networks.bigan import KEY as BIGAN
from gmmedit.networks.ifcvae import KEY as IFCVAE
from gmmedit.networks.saae import KEY as SAAE

WEIGHTS = Path(__file__).parents[1] / "datasets" / "avatars" / "weights"
EMBEDDED = {"avatars": WEIGHTS / "encoder.safetensors"}
"""Names and files of the encoders that come with gmmedit."""

READERS: dict[str, Callable[[Path], Encoder]] = {
    convnet.KEY: convnet.read_encoder,
    IFCVAE: ifcvae.read_encoder,
    SAAE: saae.read_encoder,
    BIGAN: bigan.read_encoder,
}
"""Readers by the key of a file: of an encoder alone, or of a system that has one."""


def load(name_or_path: str, device: str = "cpu") -> Encoder:
    """The encoder of that name or safetensors file, frozen and in evaluation mode.

    InputError: there is no such name or file, or the file is damaged or of another kind.
    """
    path = EMBEDDED.get(name_or_path, Path(name_or_path))
    encoder = READERS[weights.find_key(path, READERS) or convnet.KEY](path)
    return encoder.to(device).eval().requires_grad_(False)


def find_encoder(generator: Generator, files: Iterable[Path] = (), device: str = "cpu") -> tuple[str, Encoder] | None:
    """The encoder of this generator, and its name or file: the first of `files` that suits, else an embedded one.

    Files that do not exist are passed over, and encoders of other generators. None: there is none. InputError: a file
    is damaged.
    """
    for name in [*map(str, filter(Path.is_file, files)), *EMBEDDED]:
        if not EMBEDDED.get(name, Path(name)).is_file():
            continue
        encoder = load(name, device)
        if encoder.generator == generator.fingerprint:
            return name, encoder
    return None


def holds_encoder(path: Path) -> bool:
    """Whether a file is that of an encoder, or of a system that has one."""
    return weights.find_key(path, READERS) is not None


def check_encoder(encoder: Encoder, generator: Generator, name: str) -> Encoder:
    """The encoder. InputError: it is of another generator, or of other images or latents."""
    if encoder.generator != generator.fingerprint:
        there, here = encoder.generator[:12], generator.fingerprint[:12]
        message = f"{name} is an encoder of another generator ({there}), this one is {here}"
        raise InputError(message, hint="omit --encoder, or train one: gmmedit train encoder")
    space = generator.spaces.get(encoder.space)
    if (
        space is None
        or encoder.latent_shape != (space.layers, space.dim)
        or encoder.image_shape != generator.image_shape
    ):
        message = f"{name} gives latents {encoder.latent_shape} of images {encoder.image_shape}, not the generator's"
        raise InputError(message, hint="the file is damaged; train one: gmmedit train encoder")
    return encoder
