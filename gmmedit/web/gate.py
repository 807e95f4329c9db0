"""Who may reach the page: requests to its own name, from its own pages, and with its token where it has one."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "gmmedit_token"
SAFE = ("GET", "HEAD", "OPTIONS")


class Gate:
    """An ASGI application that passes on only what may reach another one.

    token: must come in the address once, and is kept in a cookie from then on; None: not asked for. hosts: names that
    requests may be addressed to, so that no foreign name can be made to lead here; None: any.
    """

    def __init__(self, app: App, token: str | None, hosts: list[str] | None) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with a line."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self.hosts is not None and host_of(f"//{headers.get('host', '')}") not in self.hosts:
            await answer(send, 421, "this page is served under another name")
        elif scope["method"] not in SAFE and not self.own_page(headers):
            await answer(send, 403, "this page takes requests from itself only")
        elif self.token is None or self.matches(read_cookie(headers.get("cookie", ""))):
            await self.app(scope, receive, send)
        elif self.matches(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]):
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            await answer(send, 303, "", [("location", place_of(scope["path"])), ("set-cookie", cookie)])
        else:
            await answer(send, 401, "open the address that gmmedit serve printed, with its token")

    def own_page(self, headers: dict[str, str]) -> bool:
        """Whether the request comes from this page, or from no page at all."""
        origin = headers.get("origin")
        try:
            return origin is None or urlsplit(origin).netloc == headers.get("host")
        except ValueError:  # no address
            return False

    def matches(self, given: str) -> bool:
        """Whether it is the token; takes equally long for any."""
        return secrets.compare_digest(given.encode(), (self.token or "").encode())


def place_of(path: str) -> str:
    """A path of this page as an address in it, escaped; two slashes at its beginning would lead to another host."""
    return quote("/" + path.lstrip("/\\"))


def host_of(address: str) -> str | None:
    """The name in an address without its port. None: there is none."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def read_cookie(text: str) -> str:
    """The token in a Cookie header; empty if there is none."""
    try:
        cookie = SimpleCookie(text)
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


async def answer(send: Send, status: int, text: str, headers: list[tuple[str, str]] | None = None) -> None:
    """A response of one line of text."""
    fields = [("content-type", "text/plain; charset=utf-8"), *(headers or [])]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})
