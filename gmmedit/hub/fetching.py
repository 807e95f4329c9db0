"""Download public files into the models folder, checked against the SHA-256 that is given or was first recorded."""

import hashlib
import re
from pathlib import Path

from gmmedit.errors import InputError, RunError, writing
from gmmedit.hub.catalogue import Entry
from gmmedit.hub.downloading import Tick, download, open_part, partial_path, read_notes

SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def fetch_model(
    name: str, entry: Entry, sha256: str | None = None, restart: bool = False, tick: Tick = lambda *_: None
) -> str:
    """Fetch all files of a model; returns the SHA-256 of the generator's file, which `sha256` is compared with.

    InputError: a file can only be downloaded with a browser, or `sha256` is not a hash. RunError: as `fetch_file`.
    """
    digest = ""
    for path in reversed(entry.paths):  # the generator's last, so that it is never there without the others
        url, by_hand = entry.url(path), entry.by_hand(path)
        if not url and not path.is_file():
            raise InputError(f"{name} can only be downloaded with a browser: there is no {path}", hint=by_hand)
        digest = fetch_file(url, path, sha256 if path == entry.path else None, restart and bool(url), tick, by_hand)
    return digest


def fetch_file(
    url: str, path: Path, sha256: str | None = None, restart: bool = False, tick: Tick = lambda *_: None,
    elsewhere: str = "",
) -> str:  # fmt: skip
    """Download a file to `path` unless it exists, check it, and return its SHA-256.

    The first hash is recorded in FILE.sha256, and any other refused later unless `sha256` accepts it. An unfinished
    download is FILE.part. restart: download again. elsewhere: the hint if the server no longer has the file.

    InputError: `sha256` is not a hash, or the folder cannot be written. RunError: the server refuses, the connection
    fails repeatedly, the disk is full, another process is downloading the file, or the hash differs.
    """
    if sha256 and not SHA256.fullmatch(sha256):
        raise InputError(
            f"{sha256!r} is not a SHA-256", hint="give its 64 hexadecimal digits, as sha256sum prints them"
        )
    if path.is_file() and not restart:
        return check_hash(path, path, sha256)
    with open_part(path) as part:
        if restart:
            part.begin()
        download(url, part, tick, elsewhere)
        digest = check_hash(partial_path(path), path, sha256)
        part.finish()
    return digest


def check_hash(content: Path, path: Path, sha256: str | None) -> str:
    """The SHA-256 of `content`, recorded for `path`. RunError: it differs from the given or else the recorded one."""
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = record_path(path)
    known = read_recorded_hash(path)
    hint = f"--sha256 {digest} accepts it, --restart downloads it again"
    if sha256 and sha256.lower() != digest:
        raise RunError(f"{content} has the SHA-256 {digest}, not the one given with --sha256", hint=hint)
    if not sha256 and known not in (None, digest):
        raise RunError(f"{content} has the SHA-256 {digest}, not the one recorded in {record}", hint=hint)
    if known != digest:
        with writing(record):
            record.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return digest


def record_path(path: Path) -> Path:
    """Where the SHA-256 of a fetched file is recorded."""
    return path.with_name(path.name + ".sha256")


def read_recorded_hash(path: Path) -> str | None:
    """The recorded SHA-256, None: none. RunError: the record holds something else."""
    record = record_path(path)
    if not record.is_file():
        return None
    found = SHA256.match(record.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise RunError(f"{record} does not hold a SHA-256", hint="correct or delete it")
    return found[0].lower()


def presence(entry: Entry) -> str:
    """How much of a model has been downloaded: "yes", "no", "40 %", or "partial" if its size is unknown."""
    if all(path.is_file() for path in entry.paths):
        return "yes"
    part = partial_path(entry.path)
    if not part.is_file():
        return "no"
    total, _ = read_notes(entry.path)
    return f"{100 * part.stat().st_size // total} %" if total else "partial"
