"""Generators by name: their files, where these come from, and the classifier for their images."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

import platformdirs
import yaml

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import expand_home

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Entry:
    """A generator of the catalogue. Files of public ones lie in `models_folder` once they have been fetched."""

    file: Path
    family: str
    pixels: int
    licence: str
    beside: tuple[str, ...] = ()  # further files in the same folder that the reader needs
    megabytes: int | None = None  # about
    page: str = ""
    folder_url: str = ""  # of all its files; empty: they can only be downloaded with a browser
    classifier: str | None = None

    @property
    def path(self) -> Path:
        """The generator's file."""
        return self.file if self.file.is_absolute() else models_folder() / self.file

    @property
    def paths(self) -> list[Path]:
        """The generator's file, then those beside it."""
        return [self.path, *(self.path.with_name(name) for name in self.beside)]

    @property
    def embedded(self) -> bool:
        """Whether its files come with gmmedit."""
        return self.file.is_absolute()

    @property
    def summary(self) -> str:
        """Family, resolution and size, in words."""
        size = f", about {self.megabytes} MB" if self.megabytes else ""
        return f"{self.family}, {self.pixels} px{size}"

    def url(self, path: Path) -> str:
        """The address of one of `paths`; "" if it can only be downloaded with a browser."""
        return self.folder_url and self.folder_url + path.name

    def by_hand(self, path: Path) -> str:
        """Instructions for downloading a file with a browser."""
        return f"download it from {self.page} ({self.licence}) and save it as {path}"


def models_folder() -> Path:
    """The folder of downloaded generators: GMMEDIT_CACHE/models, by default in the user's cache folder.

    InputError: it is ~USER of an unknown user.
    """
    cache = os.environ.get("GMMEDIT_CACHE")
    return (expand_home(Path(cache)) if cache else platformdirs.user_cache_path("gmmedit")) / "models"


def read_public() -> Iterator[tuple[str, Entry]]:
    """Names and entries of public.yaml."""
    for group in yaml.safe_load(Path(__file__).with_name("public.yaml").read_text(encoding="utf-8")):
        for name, (pixels, megabytes, file, *beside) in group["models"].items():
            yield (
                name,
                Entry(
                    file=Path(file),
                    family=group["family"],
                    pixels=pixels,
                    licence=group["licence"],
                    beside=tuple(beside),
                    megabytes=megabytes,
                    page=group["page"],
                    folder_url=group.get("url", ""),
                ),
            )


CATALOGUE = {
    "avatars": Entry(
        file=PACKAGE / "datasets" / "avatars" / "weights" / "generator.safetensors",
        family="StyleGAN2",
        pixels=64,
        licence="MIT, embedded",
        classifier="avatars",
    ),
    **dict(read_public()),
}


def is_url(name: str) -> bool:
    """Whether the name is an http or https address."""
    return re.match(r"https?://", name) is not None


def url_path(url: str) -> Path:
    """Where the file of that address lies once it has been fetched; different addresses have different folders.

    InputError: the address does not name a file.
    """
    last = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(url).path.rpartition("/")[2])).strip(".")
    if not last or not urlsplit(url).netloc:
        raise InputError(f"{url} does not name a file", hint="give the address of the checkpoint file")
    return models_folder() / sha256(url.encode()).hexdigest()[:12] / last


def locate_url(url: str) -> Path:
    """The file fetched from that address. InputError: it has not been fetched; the hint is the command."""
    name = name_of_url(url)
    if name:
        return locate_model(name)
    path = url_path(url)
    if not path.is_file():
        raise InputError(f"{url} has not been downloaded", hint=f"gmmedit models fetch {url}")
    return path


def name_of_url(url: str) -> str | None:
    """The generator of the catalogue whose file has that address; None: there is none."""
    return next((name for name, entry in CATALOGUE.items() if entry.url(entry.path) == url), None)


def locate_model(name: str) -> Path:
    """The file of a generator of the catalogue. InputError: it has not been downloaded; the hint says how to."""
    entry = CATALOGUE[name]
    missing = next((path for path in entry.paths if not path.is_file()), None)
    if missing is None:
        return entry.path
    size = f"about {entry.megabytes} MB; " if entry.megabytes else ""
    fetching = f"gmmedit models fetch {name} ({size}{entry.licence})"
    message = f"the generator {name} has not been downloaded: there is no {missing}"
    raise InputError(message, hint=fetching if entry.folder_url else entry.by_hand(missing))
