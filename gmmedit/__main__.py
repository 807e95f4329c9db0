"""The `gmmedit` command, also as `python -m gmmedit`."""

import gc
import sys


def main() -> None:
    """Run the command line; exit status 130 if interrupted before a command begins."""
    try:
        from gmmedit.cli.app import app

        app()
    except KeyboardInterrupt:  # before a command begins; errors_reported handles it from then on
        print("interrupted before the command began", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # spares the collector a pass over what torch loaded, 0.2 s at exit


if __name__ == "__main__":
    main()
