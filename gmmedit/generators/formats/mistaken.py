"""Files that lie where a checkpoint should: what they are, by their first bytes, and what to do about it."""

import re
from pathlib import Path

from gmmedit.errors import InputError

ARCHIVE = "unpack it, and give the checkpoint that is in it"
MISTAKEN: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec"),
        "is a git-LFS pointer, a few lines in place of the file",
        "`git lfs pull` in its repository gets the file",
    ),
    (
        re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE),
        "is a web page in place of the file",
        "look at the address in a browser: the file may have moved, or want a login or a confirmation",
    ),
    (
        re.compile(rb"\s*[\[{]\s*[\"{}\]]"),
        "is JSON text, often a server's error in place of the file",
        "read it, and get the file again",
    ),
    (re.compile(rb"\x1f\x8b"), "is a gzip archive", ARCHIVE),
    (re.compile(rb"BZh\d"), "is a bzip2 archive", ARCHIVE),
    (re.compile(rb"\xfd7zXZ\x00"), "is an xz archive", ARCHIVE),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "is a 7z archive", ARCHIVE),
    (re.compile(rb"Rar!"), "is a RAR archive", ARCHIVE),
    (re.compile(rb".{257}ustar", re.DOTALL), "is a tar archive", ARCHIVE),
    (
        re.compile(rb"\x89HDF\r\n"),
        "is an HDF5 file, as a run's artifacts are",
        "give a generator's file; `gmmedit inspect` says what an artifact is",
    ),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", re.DOTALL), "is an image", "give a generator's file"),
)
HEAD = 512  # bytes that tell them


def check_mistaken(path: Path, head: bytes) -> None:
    """InputError: the first bytes are those of something else that often lies in place of a checkpoint."""
    if not head.strip(b"\x00"):
        raise InputError(f"{path} is {'empty' if not head else 'a file of zeros'}", hint="get it again")
    for beginning, what, hint in MISTAKEN:
        if beginning.match(head):
            raise InputError(f"{path} {what}", hint=hint)
