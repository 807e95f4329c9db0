"""One file over HTTP into FILE.part, continued where it broke off, and never glued together from two versions."""

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

TRIES = 4  # one after the other that bring no new bytes
PAUSE = 1.0  # seconds after the first of them, longer after each further one
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20
MB = 1_000_000
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may change
PAGES = ("text/html", "application/json")  # what portals, gateways and error services answer instead of a file

Tick = Callable[[int, int, str], None]  # done, total, a few words


def partial_path(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def notes_path(path: Path) -> Path:
    return path.with_name(path.name + ".part.json")


@dataclass
class Part:
    """The unfinished `path`, locked for this process, and what the server said of the whole file."""

    path: Path
    handle: int
    size: int
    total: int | None = None
    validator: str = ""  # a strong ETag or the time of the last change: If-Range's

    @property
    def whole(self) -> bool:
        return self.size == self.total

    def begin(self, total: int | None = None, validator: str = "") -> None:
        """Drop what there is. The bytes go first, so that a kill in between leaves no mixture."""
        with writing(self.path):
            os.ftruncate(self.handle, 0)
            self.size, self.total, self.validator = 0, total, validator
            notes_path(self.path).write_text(json.dumps({"total": total, "validator": validator}), encoding="utf-8")

    def append(self, data: bytes) -> None:
        with writing(self.path):
            disk.write_at(self.handle, memoryview(data), self.size)
        self.size += len(data)

    def finish(self) -> None:
        """Give the file its name."""
        with writing(self.path):
            os.fsync(self.handle)
            os.replace(partial_path(self.path), self.path)
            notes_path(self.path).unlink(missing_ok=True)


@contextmanager
def begun(path: Path) -> Iterator[Part]:
    """The unfinished `path`, new or from before. RunError: another process has it. InputError: its folder."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = None
        while handle is None:
            handle = disk.open_locked(partial_path(path), os.O_CREAT)
    part = Part(path, handle, os.fstat(handle).st_size, *notes(path))
    try:
        yield part
    finally:
        if not part.size:
            partial_path(path).unlink(missing_ok=True)
            notes_path(path).unlink(missing_ok=True)
        os.close(handle)


def notes(path: Path) -> tuple[int | None, str]:
    """Size and validator of the whole file as the server told them; (None, ""): unknown."""
    try:
        told = json.loads(notes_path(path).read_text(encoding="utf-8"))
        return told["total"], told["validator"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, ""


def download(url: str, part: Part, tick: Tick, elsewhere: str = "") -> None:
    """Fill the part from the address. elsewhere: what to do where the file is gone.

    RunError: the server refuses, or several tries bring nothing. InputError and RunError of the disk.
    """
    failures, most = 0, part.size
    while not part.whole:
        reason = attempt(url, part, tick, elsewhere)
        failures = 0 if part.size > most else failures + 1
        most = max(most, part.size)
        if failures == TRIES:
            hint = "what there is has been kept: the same command goes on from there, or tries again"
            raise RunError(f"cannot download {url}: {reason}", hint=hint)
        if not part.whole:
            time.sleep(PAUSE * failures)


def attempt(url: str, part: Part, tick: Tick, elsewhere: str) -> str:
    """Get as much as one connection gives; what went wrong, "" if nothing did. RunError: trying again is no use."""
    headers = {"User-Agent": f"gmmedit/{__version__}"}
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        with OPENER.open(Request(url, headers=headers), timeout=TIMEOUT) as response:
            return receive(response, part, tick)
    except HTTPError as error:
        with error:
            return refusal(error, url, part, elsewhere)
    except TimeoutError:
        return f"no answer for {TIMEOUT:.0f} s"
    except (OSError, HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def receive(response: HTTPResponse, part: Part, tick: Tick) -> str:
    """Append what the server sends, or begin anew where it sends another file or all of it."""
    headers = response.headers
    if headers.get_content_type() in PAGES and part.path.suffix != ".json":
        hint = "look at it in a browser: the file may have moved, or this network wants a login"
        raise RunError(f"{response.url} is a web page ({headers.get_content_type()}), not the file", hint=hint)
    if response.status != 206:
        part.begin(length(response), validator(headers))
    elif not continues(part, headers):
        part.begin()
        return "the server sent another part than was asked for"
    while data := response.read1(CHUNK):
        part.append(data)
        tick(part.size // MB, (part.total or part.size) // MB, f"{part.path.name}, MB")
    if part.total is None:
        part.total = part.size  # chunked: a cut would have been an IncompleteRead
    return "" if part.whole else "the connection was cut"


def refusal(error: HTTPError, url: str, part: Part, elsewhere: str) -> str:
    """The reason of an answer without a file. RunError: another try will not change it."""
    reason = f"{error.code} {' '.join(str(error.reason).split())}"
    if error.code == 416:  # there is nothing behind what we have: it is whole, or no part of that file
        if part.total is None and error.headers.get("Content-Range") == f"bytes */{part.size}":
            part.total = part.size
        else:
            part.begin()
    elif error.code not in PASSING:
        raise RunError(f"cannot download {url}: {reason}", hint=elsewhere)
    return reason


def length(response: HTTPResponse) -> int | None:
    """Of the whole file; None: it comes in chunks, which tell their end. RunError: a cut would not be noticed."""
    if response.length is None and not response.chunked:
        raise RunError(f"{response.url} does not say how long the file is", hint="get it with a browser")
    return response.length


def continues(part: Part, headers: HTTPMessage) -> bool:
    """Whether a 206 answer is the rest of the same file."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    same = validator(headers) in ("", part.validator)
    return bool(same and found and int(found[1]) == part.size and found[2] in ("*", str(part.total)))


def validator(headers: HTTPMessage) -> str:
    """What tells this version of the file from others; "": nothing does. Weak ETags (W/"...") do not."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


class Redirects(HTTPRedirectHandler):
    """Follows as urllib does, but never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            fp.close()
            raise RunError(f"{req.full_url} leads to an address without encryption: {newurl}", hint="tell its owners")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = build_opener(Redirects)
