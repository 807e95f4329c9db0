"""Worlds that others made: fetch one by package name, and run everything on it.

    python benchmarks/worlds.py prepare faces|digits|fashion --out FOLDER
    python benchmarks/worlds.py run     faces|digits|fashion --out FOLDER [--run RUN] [-n 20000]

docs/worlds.md says what is fetched, and under which licences.
"""

import argparse
import importlib
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

WORLDS = ("faces", "digits", "fashion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["prepare", "run"])
    parser.add_argument("world", choices=WORLDS)
    parser.add_argument("--out", type=Path, required=True, help="outside the repository")
    parser.add_argument("--run", type=Path, help="run folder; default: FOLDER/WORLD/run")
    parser.add_argument("-n", type=int, default=20_000, help="samples to fit")
    parser.add_argument("--evaluated", type=int, default=1_000, help="samples to evaluate")
    parser.add_argument("--config", type=Path, help="YAML file of settings for every command")
    options = parser.parse_args()
    folder = options.out / options.world
    if options.task == "prepare":
        importlib.import_module(f"worlds.{options.world}").prepare(folder, options.out / "downloads")
    else:
        from worlds.running import run_world

        run_world(options.world, folder, options.run or folder / "run", options.n, options.evaluated, options.config)


if __name__ == "__main__":
    main()
