"""What the command takes before it does anything, against importing what it prints with."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BARE = ["-c", "import typer, rich"]
ASKED = {"--help": ["--help"], "a usage error": ["label", "--bath", "8"]}
SMALLEST = """
import sys, typer
app = typer.Typer()
@app.command()
def label(batch: int = 16): "Label."
@app.command()
def edit(alpha: float = 1): "Edit."
app(sys.argv[1:])
"""  # what typer itself takes for the same
MODULES = (
    "import sys; sys.argv[1:] = {words!r}\ntry:\n import gmmedit.__main__ as command; command.main()\nfinally:\n {last}"
)
NO_TORCH = "sys.exit(70 if 'torch' in sys.modules else 0)"


def startup(rounds: int, clock: str) -> dict[str, float]:
    """Median seconds of each, by name; `bare` is what they are compared with. They take turns."""
    seconds: dict[str, list[float]] = {}
    options = {name: ["-m", "gmmedit", *words] for name, words in ASKED.items()}
    smallest = {f"{name}, of a typer app of two commands": ["-c", SMALLEST, *words] for name, words in ASKED.items()}
    for _ in range(rounds):
        for name, words in {"bare": BARE, **options, **smallest}.items():
            seconds.setdefault(name, []).append(taken(words, clock))
    return {name: statistics.median(values) for name, values in seconds.items()}


def taken(words: list[str], clock: str) -> float:
    before, began = os.times(), time.perf_counter()
    python(words)
    after = os.times()
    if clock == "wall":
        return time.perf_counter() - began
    return after.children_user + after.children_system - before.children_user - before.children_system


def without_torch() -> bool:
    """Whether none of them imports torch."""
    return all(python(["-c", MODULES.format(words=words, last=NO_TORCH)]) == 0 for words in ASKED.values())


def python(words: list[str]) -> int:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True).returncode
