"""Public files into the models folder: downloaded, checked against the hash given or first seen, then named."""

import hashlib
import re
from pathlib import Path

from gmmedit.errors import InputError, RunError, writing
from gmmedit.hub.catalogue import Entry
from gmmedit.hub.downloading import Tick, begun, download, notes, partial_path

SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def fetch_model(
    name: str, entry: Entry, sha256: str | None = None, restart: bool = False, tick: Tick = lambda *_: None
) -> str:
    """Fetch all files of a model; the SHA-256 of the generator's, which is the one that `sha256` is for.

    InputError: it must be got by hand, or `sha256` is none. RunError: as `fetch`.
    """
    digest = ""
    for path in reversed(entry.paths):  # the generator's last, so that it is never there without the others
        url, by_hand = entry.url(path), entry.by_hand(path)
        if not url and not path.is_file():
            raise InputError(f"{name} cannot be fetched, only a browser gets it: there is no {path}", hint=by_hand)
        digest = fetch(url, path, sha256 if path == entry.path else None, restart and bool(url), tick, by_hand)
    return digest


def fetch(
    url: str, path: Path, sha256: str | None = None, restart: bool = False, tick: Tick = lambda *_: None,
    elsewhere: str = "",
) -> str:  # fmt: skip
    """Download a file to `path`, unless it is there already, and check it: its SHA-256.

    The first hash seen is kept in FILE.sha256 and any other refused, unless `sha256` asks for it. What has been
    downloaded lies in FILE.part until it has passed. restart: download anew. elsewhere: what to do if it is gone.

    InputError: `sha256` is none, or the folder cannot be written. RunError: the server refuses, the connection
    breaks off again and again, the disk is full, another process is at it, or the hash is another one.
    """
    if sha256 and not SHA256.fullmatch(sha256):
        raise InputError(f"{sha256!r} is no SHA-256", hint="give its 64 hexadecimal digits, as sha256sum prints them")
    if path.is_file() and not restart:
        return checked(path, path, sha256)
    with begun(path) as part:
        if restart:
            part.begin()
        download(url, part, tick, elsewhere)
        digest = checked(partial_path(path), path, sha256)
        part.finish()
    return digest


def checked(content: Path, path: Path, sha256: str | None) -> str:
    """The SHA-256 of `content`, recorded for `path`. RunError: it is not the one asked for, or else recorded."""
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = record_path(path)
    known = recorded(path)
    hint = f"--sha256 {digest} accepts it, --restart downloads it anew"
    if sha256 and sha256.lower() != digest:
        raise RunError(f"{content} has the SHA-256 {digest}, not the one given with --sha256", hint=hint)
    if not sha256 and known not in (None, digest):
        raise RunError(f"{content} has the SHA-256 {digest}, another than {record} has kept", hint=hint)
    if known != digest:
        with writing(record):
            record.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return digest


def record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def recorded(path: Path) -> str | None:
    """The hash first seen, None: none. RunError: the record holds something else."""
    record = record_path(path)
    if not record.is_file():
        return None
    found = SHA256.match(record.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise RunError(f"{record} holds no SHA-256", hint="correct or delete it")
    return found[0].lower()


def presence(entry: Entry) -> str:
    """How much of a model is on disk: yes, no, 40 %, or partial where the whole is not known."""
    if all(path.is_file() for path in entry.paths):
        return "yes"
    part = partial_path(entry.path)
    if not part.is_file():
        return "no"
    total, _ = notes(entry.path)
    return f"{100 * part.stat().st_size // total} %" if total else "partial"
