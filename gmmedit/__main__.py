"""`python -m gmmedit` is the `gmmedit` command."""

from gmmedit.cli import app

app()
