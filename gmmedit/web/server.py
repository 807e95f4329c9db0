"""The server of the page: its address, who may see it, and its life from the first request to the last."""

import errno
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from gmmedit.causal.model import CausalModel
from gmmedit.config import load
from gmmedit.discovery.reading import Directions, read_directions
from gmmedit.editing.inverter import open_inverter
from gmmedit.editing.session import open_session
from gmmedit.errors import InputError, RunError
from gmmedit.run.folder import RunFolder
from gmmedit.run.graphs import Attributes, read_graph
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.web.gate import Gate
from gmmedit.web.style import CSS, HEAD
from gmmedit.web.tabs import Tabs
from gmmedit.web.uploads import MAX_BYTES

LOCAL = ("127.0.0.1", "localhost", "::1")
EXTRA = "pip install 'gmmedit[web]'"
TICK = 0.2  # seconds between looks at whether the server is to stop
STARTING = 30.0  # seconds within which the server must be ready

Announce = Callable[[str], None]  # takes the address of the page


def import_gradio() -> Any:
    """The package gradio, which then reports nothing to anyone. InputError: it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    try:
        return import_module("gradio")
    except ImportError as error:
        package = error.name or "gradio"
        raise InputError(f"the page needs the package {package}", hint=EXTRA) from error


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens on that address; port 0 takes a free one.

    InputError: the host is no address of this machine, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            yield listener
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        foreign = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        hint = "--host 127.0.0.1, or 0.0.0.0 for all networks" if foreign else "--port 0 takes a free one"
        raise InputError(f"cannot listen on {host} port {port}: {reason}", hint=hint) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted at the end, also while a thread still writes into it."""
    with tempfile.TemporaryDirectory(prefix="gmmedit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def run(
    folder: Path, config: Path | None, execution: Execution, host: str, port: int, announce: Announce
) -> None:  # fmt: skip
    """Serve the page of a run until the execution is asked to stop. `announce` is called when it can be opened.

    config: a file of settings, by which images are edited. InputError: it cannot be used; gradio is missing; the
    address cannot be used; an artifact or network is missing or has changed.
    RunError: the server does not start.
    """
    import_gradio()
    settings = load(config)
    with listening(host, port) as listener:
        prepare(execution)
        with RunFolder(folder, execution) as run_folder, temporary_folder() as temporary:
            session = open_session(run_folder, settings.edit)
            attributes = run_folder.artifact("mixture").attributes
            directions = find_directions(run_folder)
            tabs = Tabs(
                session, attributes, temporary, lambda: open_inverter(run_folder, settings.invert),
                directions=directions, causes=find_causes(run_folder, attributes),
            )  # fmt: skip
            name = (run_folder.samples.spec.generator or {}).get("name", "")
            token = None if host in LOCAL else secrets.token_urlsafe(16)
            page = make_page(tabs, folder, config, f"run {folder}, generator {name}")
            app = Gate(page, token, [host, *LOCAL] if token is None else None)
            try:
                serve(app, listener, execution, lambda: announce(address_of(host, listener.getsockname()[1], token)))
            finally:
                tabs.close_all()


def find_directions(run_folder: RunFolder) -> Directions | None:
    """The directions of the run in the space that it edits; None: there are none. InputError: they cannot be used."""
    if not run_folder.file("directions").exists():
        return None
    found = read_directions(run_folder.artifact("directions"))
    return found if found.space == run_folder.fitted_space else None


def find_causes(run_folder: RunFolder, attributes: Attributes) -> CausalModel | None:
    """The causal model of the run's attributes; None: it has no graph. InputError: the graph cannot be used."""
    if not run_folder.file("graph").exists():
        return None
    return read_graph(run_folder.artifact("graph"), attributes).model


def make_page(tabs: Tabs, folder: Path, config: Path | None, title: str) -> Any:
    """The page as an ASGI application that keeps its files in the folder of `tabs`, see `build_page`."""
    os.environ["GRADIO_TEMP_DIR"] = str(tabs.folder / "shown")  # uploads, and images on their way to the browser
    gr = import_gradio()
    from fastapi import FastAPI

    from gmmedit.web.page import build_page

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    theme.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300")  # readable grey
    return gr.mount_gradio_app(
        FastAPI(openapi_url=None), build_page(tabs, folder, config, title), path="", footer_links=[], run_history=False,
        show_error=True, max_file_size=MAX_BYTES, ssr_mode=False, pwa=False, mcp_server=False, css=CSS, head=HEAD,
        enable_monitoring=False,
        theme=theme,
    )  # fmt: skip


def address_of(host: str, port: int, token: str | None) -> str:
    """The address of the page, with its token if there is one."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def serve(app: Any, listener: socket.socket, execution: Execution, ready: Callable[[], None]) -> None:
    """Run the application until the execution is asked to stop. RunError: it does not start, or it ends by itself."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="critical", access_log=False, timeout_graceful_shutdown=1, lifespan="on"
    )  # at the end pages are still open: uvicorn would log each as an error
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})  # signals stay with this thread
    thread.start()
    try:
        deadline = time.monotonic() + STARTING
        while thread.is_alive() and not server.started and time.monotonic() < deadline:
            time.sleep(TICK / 4)
        if not server.started:
            raise RunError("the server did not start", hint="--debug shows more")
        ready()
        while thread.is_alive() and not execution.stop.asked:
            time.sleep(TICK)
    finally:
        server.should_exit = True
        thread.join()
    execution.stop.withdraw()  # this is how a page ends
