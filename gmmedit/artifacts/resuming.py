"""Checks of a partial file before it is resumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gmmedit.artifacts.header import Header, translate_read_errors
from gmmedit.artifacts.spec import differences
from gmmedit.errors import InputError, summarise_differences

RESTART = "--restart discards it and begins anew"


@contextmanager
def resuming(partial: Path) -> Iterator[None]:
    """InputErrors about a partial file, and what h5py raises on a damaged one, get the hint `--restart`."""
    try:
        with translate_read_errors(partial):
            yield
    except InputError as error:
        raise InputError(error.message, hint=RESTART) from error


def check_same_settings(partial: Path, there: Header, now: Header) -> None:
    """InputError: the partial file's header differs from the one that it would be created with now."""
    found = differences(there.facts(), now.facts())
    if found:
        raise InputError(f"{partial} was begun with different settings: {summarise_differences(found)}")
