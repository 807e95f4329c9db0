"""Download one file over HTTP into FILE.part: resumed after interruptions, never joined from two versions."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gmmedit import __version__
from gmmedit.errors import RunError, writing
from gmmedit.runtime import storage as disk

TRIES = 4  # in a row without new bytes
PAUSE = 1.0  # seconds after the first of them, longer after each further one
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20
MB = 1_000_000
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may change
PAGES = ("text/html", "application/json")  # what portals and gateways answer instead of a file

Tick = Callable[[int, int, str], None]  # done, total, a few words


def partial_path(path: Path) -> Path:
    """Where an unfinished download of the file lies."""
    return path.with_name(path.name + ".part")


def notes_path(path: Path) -> Path:
    """Where size and version of an unfinished download are noted."""
    return path.with_name(path.name + ".part.json")


@dataclass
class Part:
    """The unfinished download of `path`, locked for this process, and size and version of the whole file."""

    path: Path
    handle: int
    size: int
    total: int | None = None
    validator: str = ""  # a strong ETag or the time of the last change: If-Range's

    @property
    def whole(self) -> bool:
        """Whether all bytes are there."""
        return self.size == self.total

    def begin(self, total: int | None = None, validator: str = "") -> None:
        """Start again from zero bytes. The old bytes go first, so that a kill in between leaves no mixture."""
        with writing(self.path):
            os.ftruncate(self.handle, 0)
            self.size, self.total, self.validator = 0, total, validator
            notes_path(self.path).write_text(json.dumps({"total": total, "validator": validator}), encoding="utf-8")

    def append(self, data: bytes) -> None:
        """Write the next bytes. RunError: the disk is full."""
        with writing(self.path):
            disk.write_at(self.handle, memoryview(data), self.size)
        self.size += len(data)

    def finish(self) -> None:
        """Rename the finished download to `path`."""
        with writing(self.path):
            os.fsync(self.handle)
            os.replace(partial_path(self.path), self.path)
            notes_path(self.path).unlink(missing_ok=True)


@contextmanager
def open_part(path: Path) -> Iterator[Part]:
    """The unfinished download of `path`, new or resumed.

    RunError: another process holds it. InputError: its folder cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = None
        while handle is None:
            handle = disk.open_locked(partial_path(path), os.O_CREAT)
    part = Part(path, handle, os.fstat(handle).st_size, *read_notes(path))
    try:
        yield part
    finally:
        if not part.size:
            partial_path(path).unlink(missing_ok=True)
            notes_path(path).unlink(missing_ok=True)
        os.close(handle)


def read_notes(path: Path) -> tuple[int | None, str]:
    """Size and version (see `version_of`) of the whole file as noted; (None, ""): unknown."""
    try:
        noted = json.loads(notes_path(path).read_text(encoding="utf-8"))
        return noted["total"], noted["validator"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, ""


def download(url: str, part: Part, tick: Tick, elsewhere: str = "") -> None:
    """Download the rest of the part. elsewhere: the hint if the server no longer has the file.

    RunError: the server refuses, TRIES tries in a row bring no bytes, or the disk is full.
    """
    failures, largest = 0, part.size
    while not part.whole:
        reason = try_download(url, part, tick, elsewhere)
        failures = 0 if part.size > largest else failures + 1
        largest = max(largest, part.size)
        if failures == TRIES:
            hint = "the downloaded part is kept: run the same command to resume"
            raise RunError(f"cannot download {url}: {reason}", hint=hint)
        if not part.whole:
            time.sleep(PAUSE * failures)


def try_download(url: str, part: Part, tick: Tick, elsewhere: str) -> str:
    """Download over one connection; returns what went wrong, "" if nothing. RunError: a retry would not help."""
    headers = {"User-Agent": f"gmmedit/{__version__}"}
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        with OPENER.open(Request(url, headers=headers), timeout=TIMEOUT) as response:
            return receive_file(response, part, tick)
    except HTTPError as error:
        with error:
            return explain_refusal(error, url, part, elsewhere)
    except TimeoutError:
        return f"no data for {TIMEOUT:.0f} s"
    except (OSError, HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def receive_file(response: HTTPResponse, part: Part, tick: Tick) -> str:
    """Append the response, or start again where the server sends another version or the whole file."""
    headers = response.headers
    if headers.get_content_type() in PAGES and part.path.suffix != ".json":
        hint = "open it in a browser: the file may have moved, or this network requires a login"
        raise RunError(f"{response.url} is a web page ({headers.get_content_type()}), not the file", hint=hint)
    if response.status != 206:
        part.begin(file_length(response), version_of(headers))
    elif not is_continuation(part, headers):
        part.begin()
        return "the server sent another range than requested"
    while data := response.read1(CHUNK):
        part.append(data)
        tick(part.size // MB, (part.total or part.size) // MB, f"{part.path.name}, MB")
    if part.total is None:
        part.total = part.size  # chunked: a cut would have been an IncompleteRead
    return "" if part.whole else "the connection was closed early"


def explain_refusal(error: HTTPError, url: str, part: Part, elsewhere: str) -> str:
    """The reason of an HTTP error as text. RunError: a retry would not help."""
    reason = f"{error.code} {' '.join(str(error.reason).split())}"
    if error.code == 416:  # nothing follows the bytes that are there: the file is whole, or another one
        if part.total is None and error.headers.get("Content-Range") == f"bytes */{part.size}":
            part.total = part.size
        else:
            part.begin()
    elif error.code not in TEMPORARY:
        raise RunError(f"cannot download {url}: {reason}", hint=elsewhere)
    return reason


def file_length(response: HTTPResponse) -> int | None:
    """Length of the response in bytes; None: chunked, which marks its end. RunError: a cut would not be noticed."""
    if response.length is None and not response.chunked:
        raise RunError(f"{response.url}: the server does not send the file's length", hint="download it with a browser")
    return response.length


def is_continuation(part: Part, headers: HTTPMessage) -> bool:
    """Whether a 206 response is the rest of the same file."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    same = version_of(headers) in ("", part.validator)
    return bool(same and found and int(found[1]) == part.size and found[2] in ("*", str(part.total)))


def version_of(headers: HTTPMessage) -> str:
    """A strong ETag or the time of the last change, which identify a version of the file; "": neither is sent."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


class Redirects(HTTPRedirectHandler):
    """Follows redirects as urllib does, but never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """RunError: an https address redirects to an unencrypted one."""
        if req.type == "https" and not newurl.lower().startswith("https:"):
            fp.close()
            raise RunError(f"{req.full_url} redirects to an unencrypted address: {newurl}", hint="use another address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = build_opener(Redirects)
