"""Files that somebody drops on the page: bounded in bytes, read as data, in the server's temporary folder only."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from gmmedit.editing.photographs import SUFFIXES, read_photograph
from gmmedit.editing.session import EditSession
from gmmedit.errors import InputError

MAX_BYTES = 32 << 20  # of an upload
LATENTS = (".npz", ".npy", ".pt", ".pth")
SHOWN = (".jpg", ".png", ".webp", ".npz", ".npy", ".pt")  # kinds that a message lists


@dataclass(frozen=True)
class Upload:
    """A file in the server's temporary folder; its name is the one that it has on the user's machine.

    InputError: it is neither latents nor a photograph, empty, or larger than MAX_BYTES.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in (*LATENTS, *SUFFIXES):
            raise InputError(f"{self.name} is of another kind", hint=f"use {', '.join(SHOWN)}")
        size = self.path.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise InputError(f"{self.name} has {size} bytes", hint=f"use a file of 1 byte to {MAX_BYTES >> 20} MB")

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def holds_latents(self) -> bool:
        """Whether it is a file of latents, and no photograph."""
        return self.path.suffix.lower() in LATENTS

    def read_photograph(self) -> Image.Image:
        """The photograph, see `read_photograph`, which bounds its pixels before they are decoded."""
        return read_photograph(self.path, self.name)

    def read(self, session: EditSession, run: Path) -> Tensor:
        """The latents (N, D) or (N, L, D), see `EditSession.read_latents`.

        InputError names the file as the user does, not its place on the server.
        """
        try:
            return session.read_latents(self.path, None, run)
        except InputError as error:
            message, hint = (text.replace(str(self.path), self.name) for text in (error.message, error.hint))
            raise InputError(message, hint=hint) from error
