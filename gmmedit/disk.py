"""Locks and raw writes."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def lock(path: Path, flags: int = 0) -> int | None:
    """A descriptor of the file, open for reading and writing and locked until it is closed.

    None: the file got another name before the lock was ours. BlockingIOError: another process has it.
    """
    handle = os.open(path, os.O_RDWR | flags, 0o666)
    try:
        _flock(handle)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _flock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks; there the user must not start a stage twice.
        if error.errno not in NO_LOCKS:
            raise


def publish(path: Path, build: Callable[[Path], None]) -> int | None:
    """Let `build` write a draft, sync it and rename it to `path`; a locked descriptor of it.

    The lock moves along with the file, so `path` is never there without one. None: try again.
    """
    draft = path.with_name(path.name + ".tmp")
    handle = lock(draft, os.O_CREAT)
    if handle is None:
        return None
    try:
        build(draft)
        os.fsync(handle)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        os.close(handle)
        raise
    return handle


def write_at(handle: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`. A full disk is an OSError here, in a memory map a deadly signal."""
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written
