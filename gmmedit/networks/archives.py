"""Archives that torch reads with code of its own: checked here, and handed over as new archives of the checked records.

Python and torch disagree on which records a zip file holds if somebody made it so, and torch finds names whatever
their case. So torch never sees the file, only what was checked.
"""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from gmmedit.errors import InputError

INFLATED = 64 << 20  # bytes that an archive may unpack to beyond its own size; weights are stored uncompressed


def rewrite_archive(path: Path, names: re.Pattern[str], check: Callable[[str, bytes], None], hint: str) -> io.BytesIO:
    """A new archive of the records in the file at `path`, uncompressed, each of which `check(name, content)` allowed.

    InputError, with `hint`: a record's name is not one of `names`, or occurs twice in any case; or they unpack to much
    more than the file's size.
    """
    rewritten = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(rewritten, "w") as target:
        check_names([record.filename for record in archive.infolist()], names, hint)
        whole = sum(record.file_size for record in archive.infolist())
        if whole > path.stat().st_size + INFLATED:
            raise InputError(f"unpacks to {whole} bytes, far more than its size", hint=hint)
        for name in archive.namelist():
            content = archive.read(name)
            check(name, content)
            target.writestr(zipfile.ZipInfo(name), content)
    rewritten.seek(0)
    return rewritten


def check_names(found: list[str], allowed: re.Pattern[str], hint: str) -> None:
    """InputError: a name is not allowed, or two names are equal but for their case."""
    for name in found:
        if not allowed.fullmatch(name):
            raise InputError(f"holds {name!r}, which such networks do not have", hint=hint)
    if len({name.casefold() for name in found}) < len(found):
        raise InputError("holds two records of the same name", hint=hint)
