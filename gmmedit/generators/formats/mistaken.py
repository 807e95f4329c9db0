"""Files that are often given in place of a checkpoint: recognised by their first bytes, with a hint."""

import re
from pathlib import Path

from gmmedit.errors import InputError

ARCHIVE = "unpack it and give the checkpoint inside"
MISTAKEN: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec"),
        "is a git-LFS pointer, not the file itself",
        "run `git lfs pull` in its repository",
    ),
    (
        re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE),
        "is a web page, not the file itself",
        "open the address in a browser: the file may have moved, or require a login or a confirmation",
    ),
    (
        re.compile(rb"\s*[\[{]\s*[\"{}\]]"),
        "is JSON text, often a server's error message",
        "read it, and download the file again",
    ),
    (re.compile(rb"\x1f\x8b"), "is a gzip archive", ARCHIVE),
    (re.compile(rb"BZh\d"), "is a bzip2 archive", ARCHIVE),
    (re.compile(rb"\xfd7zXZ\x00"), "is an xz archive", ARCHIVE),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "is a 7z archive", ARCHIVE),
    (re.compile(rb"Rar!"), "is a RAR archive", ARCHIVE),
    (re.compile(rb".{257}ustar", re.DOTALL), "is a tar archive", ARCHIVE),
    (
        re.compile(rb"\x89HDF\r\n"),
        "is an HDF5 file, such as a run's artifacts",
        "give a generator's file; `gmmedit inspect` describes artifacts",
    ),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", re.DOTALL), "is an image", "give a generator's file"),
)
HEAD = 512  # bytes that are looked at


def check_mistaken(path: Path, head: bytes) -> None:
    """InputError: the first bytes are those of another kind of file, of zeros, or missing."""
    if not head.strip(b"\x00"):
        raise InputError(f"{path} is {'empty' if not head else 'a file of zeros'}", hint="download or copy it again")
    for beginning, what, hint in MISTAKEN:
        if beginning.match(head):
            raise InputError(f"{path} {what}", hint=hint)
