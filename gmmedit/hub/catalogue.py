"""Generators by name: which file they live in, where that comes from, and which classifier labels their images."""

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

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Entry:
    """A catalogued generator. A public one has its files in `models_folder`, once they have been fetched."""

    file: Path
    family: str
    pixels: int
    licence: str
    beside: tuple[str, ...] = ()  # further files in the same folder that the reader needs
    megabytes: int | None = None  # about
    page: str = ""
    folder_url: str = ""  # of all its files; empty: only a browser gets them
    classifier: str | None = None

    @property
    def path(self) -> Path:
        return self.file if self.file.is_absolute() else models_folder() / self.file

    @property
    def paths(self) -> list[Path]:
        """The generator's file, then those beside it."""
        return [self.path, *(self.path.with_name(name) for name in self.beside)]

    @property
    def embedded(self) -> bool:
        return self.file.is_absolute()

    @property
    def summary(self) -> str:
        size = f", about {self.megabytes} MB" if self.megabytes else ""
        return f"{self.family}, {self.pixels} px{size}"

    def url(self, path: Path) -> str:
        """Where one of `paths` comes from, "" if a program cannot get it."""
        return self.folder_url and self.folder_url + path.name

    def by_hand(self, path: Path) -> str:
        """What to do where a program cannot get it."""
        return f"get it from {self.page} ({self.licence}) and save it as {path}"


def models_folder() -> Path:
    """Where fetched generators lie: GMMEDIT_CACHE/models, by default in the user's cache folder."""
    cache = os.environ.get("GMMEDIT_CACHE")
    return (Path(cache).expanduser() if cache else platformdirs.user_cache_path("gmmedit")) / "models"


def public() -> Iterator[tuple[str, Entry]]:
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
    **dict(public()),
}


def is_url(name: str) -> bool:
    """Whether it is an address of the web."""
    return re.match(r"https?://", name) is not None


def url_path(url: str) -> Path:
    """Where the file of that address lies once it has been fetched: two addresses never share a place.

    InputError: the address names no file.
    """
    last = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(url).path.rpartition("/")[2])).strip(".")
    if not last or not urlsplit(url).netloc:
        raise InputError(f"{url} names no file", hint="give the address of the checkpoint itself")
    return models_folder() / sha256(url.encode()).hexdigest()[:12] / last


def locate_url(url: str) -> Path:
    """The file fetched from that address. InputError: it has not been, and how it gets here."""
    name = name_of_url(url)
    if name:
        return locate(name)
    path = url_path(url)
    if not path.is_file():
        raise InputError(f"{url} is not on this computer", hint=f"gmmedit models fetch {url}")
    return path


def name_of_url(url: str) -> str | None:
    """The catalogued generator whose file has that address, if there is one."""
    return next((name for name, entry in CATALOGUE.items() if entry.url(entry.path) == url), None)


def locate(name: str) -> Path:
    """The file of a catalogued generator. InputError: it is not on this computer, and how it gets here."""
    entry = CATALOGUE[name]
    missing = next((path for path in entry.paths if not path.is_file()), None)
    if missing is None:
        return entry.path
    size = f"about {entry.megabytes} MB; " if entry.megabytes else ""
    fetching = f"gmmedit models fetch {name} ({size}{entry.licence})"
    message = f"the generator {name} is not on this computer: there is no {missing}"
    raise InputError(message, hint=fetching if entry.folder_url else entry.by_hand(missing))
