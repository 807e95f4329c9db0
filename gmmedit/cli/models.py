"""The commands `gmmedit models ...`: list the named generators, download one."""

from __future__ import annotations

from typing import Annotated

import typer

from gmmedit.cli.completion import complete_fetchable
from gmmedit.cli.options import Debug, Json, Quiet
from gmmedit.errors import InputError, nearest
from gmmedit.runtime.progress import Pace, shown_ticks

models = typer.Typer(invoke_without_command=True)


@models.callback()
def list_models(ctx: typer.Context, json_: Json = False, debug: Debug = False) -> None:
    """List the named generators; download one."""
    from gmmedit.cli.tables import show_models
    from gmmedit.hub import CATALOGUE, presence

    if ctx.invoked_subcommand:
        return
    rows = [
        {
            "name": name,
            "family": entry.family,
            "pixels": entry.pixels,
            "megabytes": entry.megabytes,
            "licence": entry.licence,
            "page": entry.page,
            "urls": [url for path in entry.paths if (url := entry.url(path))],
            "by_hand": not (entry.embedded or entry.folder_url),
            "files": [str(path) for path in entry.paths],
            "on_disk": presence(entry),
        }
        for name, entry in CATALOGUE.items()
    ]
    show_models(rows, json_)


@models.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="Name listed by `gmmedit models`, or URL of a checkpoint.",
            autocompletion=complete_fetchable,
        ),
    ],
    sha256: Annotated[str | None, typer.Option(help="Expected SHA-256 of the generator's file.")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Download again, discarding existing and partial files.")
    ] = False,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Download a generator, or check an existing download.

    Files are stored in GMMEDIT_CACHE/models.
    """
    from gmmedit.hub import CATALOGUE, fetch_model, is_url, name_of_url

    if is_url(name) and not name_of_url(name):
        fetch_address(name, sha256, restart, quiet)
        return
    name = name_of_url(name) or name
    entry = CATALOGUE.get(name)
    if entry is None:
        raise InputError(f"unknown model {name!r}", hint=nearest(name, CATALOGUE))
    if entry.embedded:
        raise InputError(f"{name} comes with gmmedit and needs no download", hint=f"gmmedit sample --gan {name}")
    files = [path for path in entry.paths if restart or not path.is_file()]
    if files and entry.folder_url and not quiet:
        typer.echo(f"{name}: {entry.summary}\nlicence: {entry.licence}; {entry.page}")
        for path in files:
            typer.echo(f"from {entry.url(path)}")
    with shown_ticks(Pace(), quiet) as tick:  # signals interrupt at once: a download may hang, and its part is kept
        digest = fetch_model(name, entry, sha256, restart, tick)
    if not quiet:
        typer.echo(f"SHA-256 {digest}")
        typer.echo(f"{'wrote' if files else 'checked'} {entry.path}")


def fetch_address(url: str, sha256: str | None, restart: bool, quiet: bool) -> None:
    """Download a checkpoint by its URL, or check an existing download; `--gan` accepts the URL afterwards."""
    from gmmedit.hub import fetch_file, url_path

    path = url_path(url)
    exists = path.is_file() and not restart
    if not quiet:
        typer.echo(f"from {url}\nlicence: unknown, see the page of the checkpoint")
    with shown_ticks(Pace(), quiet) as tick:
        digest = fetch_file(url, path, sha256, restart, tick)
    if not quiet:
        typer.echo(f"SHA-256 {digest}\n{'checked' if exists else 'wrote'} {path}")
