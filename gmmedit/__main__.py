"""The `gmmedit` command, also as `python -m gmmedit`."""

import sys


def main() -> None:
    try:
        from gmmedit.cli import app

        app()
    except KeyboardInterrupt:  # before a command has begun; it says the same itself from then on
        print("stopped: nothing had begun", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
