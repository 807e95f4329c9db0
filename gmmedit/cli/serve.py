"""The command that serves the interactive page."""

from __future__ import annotations

from typing import Annotated

import typer

from gmmedit.cli.options import RUN, ConfigFile, Debug, Device, Quiet, Run, Trust
from gmmedit.cli.output import open_execution

PORT = 7860


def serve(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", quiet: Quiet = False, debug: Debug = False,
    trust: Trust = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach asks for a token, printed once.")
    ] = "127.0.0.1",
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:  # fmt: skip
    """Edit with sliders on a page in the browser."""
    from gmmedit.web import server

    def announce(address: str) -> None:
        typer.echo(f"serving {address}" + ("" if quiet else "\nstop with Ctrl+C"))
        if open_:
            typer.launch(address)

    with open_execution(run, device, 1, False, False, quiet, trust) as execution:
        server.run(run, config, execution, host, port, announce)
    if not quiet:
        typer.echo("stopped")
