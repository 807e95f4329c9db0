"""A web server on this computer that does what others do wrong."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import pytest

from gmmedit.hub import downloading

CONTENT = bytes(range(256)) * 4000  # a megabyte
OTHER = CONTENT[::-1]


@dataclass
class Site:
    """What the server serves and how; `answers` holds for one request each, the first one first."""

    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True
    conditions: bool = True  # If-Range is heeded
    length: Literal["told", "chunked", "untold"] = "told"
    more: int = 0  # bytes that Content-Length promises too many
    later: int = 0  # bytes behind the asked ones at which a part begins
    kind: str = "application/octet-stream"
    answers: list[int | str] = field(default_factory=list)  # cut after so many bytes, a status line, an address
    asked: list[Message] = field(default_factory=list)
    url: str = ""
    stalls: threading.Event = field(default_factory=threading.Event)

    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.asked.append(self.headers)
        self.close_connection = True
        answer = site.answers.pop(0) if site.answers else None
        if isinstance(answer, str):
            self.refuse(answer)
        else:
            self.serve(site, answer)

    def refuse(self, answer: str) -> None:
        code = int(answer[:3]) if answer[:3].isdigit() else 302
        self.send_response(code)
        if code == 302:
            self.send_header("Location", answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve(self, site: Site, cut: int | None) -> None:
        start = self.start(site)
        if start >= len(site.content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = site.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", site.kind)
        if site.etag:
            self.send_header("ETag", site.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if site.length == "told":
            self.send_header("Content-Length", str(len(rest) + site.more))
        elif site.length == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            rest = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (rest[:1000], rest[1000:]) if part)
            rest += b"0\r\n\r\n"
        self.end_headers()
        self.wfile.write(rest if cut is None else rest[: abs(cut)])
        if cut is not None and cut < 0:
            site.stalls.wait(20)

    def start(self, site: Site) -> int:
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not asked or not site.ranges or (site.conditions and condition != site.etag):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-")) + site.later

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def served(server: ThreadingHTTPServer, **how: Any) -> Site:
    """From now on the server serves this site."""
    site = Site(url=f"http://127.0.0.1:{server.server_port}/net.pkl", **how)
    server.site = site  # type: ignore[attr-defined]
    return site


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries, no proxy."""
    monkeypatch.setattr(downloading, "PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
