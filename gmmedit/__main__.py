"""The `gmmedit` command, also as `python -m gmmedit`."""

import gc
import sys


def main() -> None:
    try:
        from gmmedit.cli.app import app

        app()
    except KeyboardInterrupt:  # before a command has begun; it says the same itself from then on
        print("stopped: nothing had begun", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # what torch has loaded is not looked through when Python ends: 0.2 s


if __name__ == "__main__":
    main()
