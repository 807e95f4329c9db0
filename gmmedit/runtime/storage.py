"""Writing files: locks, raw writes, and files that are replaced as a whole or not at all."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gmmedit.errors import FileLocked, InputError, writing

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def open_locked(path: Path, flags: int = 0) -> int | None:
    """A descriptor of the file, open for reading and writing and locked until it is closed.

    None: the file was renamed or removed before it was locked. BlockingIOError: another process has locked it.
    OSError: it is a symbolic link, which might lead to any file.
    """
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o666)
    try:
        _flock(handle)
        if os.path.samestat(os.fstat(handle), os.lstat(path)):
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


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep other processes from writing `path` meanwhile; its folder is created if necessary.

    The lock on PATH.lock is the system's, which releases it when the process ends in any way. The pid and the host in
    that file only explain a refusal: a killed process leaves them behind. RunError: another process holds the lock; the
    message names it. Other errors as in `errors.writing`.
    """
    note = path.with_name(path.name + ".lock")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _claim(note)
    try:
        yield
    finally:
        with suppress(OSError):  # the lock goes with the descriptor, the note says nothing without it
            note.unlink()
        os.close(handle)


def _claim(note: Path) -> int:
    handle = None
    try:
        while handle is None:
            handle = open_locked(note, os.O_CREAT)
    except BlockingIOError as error:
        holder = ""
        with suppress(OSError):  # it is being removed: the other one has just ended
            holder = note.read_text(encoding="utf-8", errors="replace")
        raise FileLocked(holder) from error
    try:
        os.ftruncate(handle, 0)
        write_at(handle, memoryview(f"pid {os.getpid()} on {socket.gethostname()}".encode()), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def publish(path: Path, build: Callable[[Path], None], synced: bool = True) -> None:
    """Let `build` create a draft, sync it and rename it to `path`, so that `path` is always one whole file.

    synced: see `write_file`. An error of `build` removes the draft. A draft of a killed process is removed first, and
    so is a link in its place, which might lead to any file.
    """
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    try:
        build(draft)
        if synced:
            sync_file(draft)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            draft.unlink()
        raise


def write_file(path: Path, content: bytes | memoryview, synced: bool = True) -> None:
    """Write or replace a whole file.

    synced: also survive a power failure. Without it, which is faster for many small files, it survives a kill only.
    """

    def build(draft: Path) -> None:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_at(handle, memoryview(content), 0)
        finally:
            os.close(handle)

    publish(path, build, synced)


def append_file(path: Path, content: bytes) -> None:
    """Add to the end of a file, which is created if needed. OSError: it is a link, which might lead to any file."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with os.fdopen(handle, "ab") as file:
        file.write(content)


def cut_file(path: Path, size: int) -> None:
    """Cut a file to so many bytes. OSError: there is none, or it is a link, which might lead to any file."""
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(handle, size)
    finally:
        os.close(handle)


def write_new(path: Path, content: bytes, force: bool) -> None:
    """Write a whole file, and create its folder. InputError: it exists with other contents, and `force` is off."""
    with writing(path):
        if path.exists() and not force and path.read_bytes() != content:
            raise InputError(f"{path} exists with other contents", hint="--force overwrites it")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)


def read_unlinked(path: Path) -> bytes:
    """The bytes of a file, none if it does not exist. OSError: it cannot be read, or is a symbolic link."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
            return file.read()
    except FileNotFoundError:
        return b""


def sync_file(path: Path) -> None:
    """Wait until the system has written the file to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_at(handle: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset` in bytes. A full disk raises OSError (a memory map would end the process)."""
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written
