"""Coverage-guided fuzzing of every reader, and many random changes: `make fuzz`, nightly and by hand.

    python tests/fuzz.py                  # all kinds: 1,000 random changes each, then SECONDS of atheris each
    python tests/fuzz.py --kind npz       # one kind
    python tests/fuzz.py --runs 50 --seconds 0

What it finds is kept in the folder `fuzz/` and printed; exit status 1. atheris: `pip install -e '.[nightly]'`.
Random changes are read in the process of readers.py; atheris runs a process for each kind under libFuzzer's own limits.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from readers import SECONDS, Reader, flipped, reader, readers, seeds, truncated

RUNS, GUIDED = 1000, 60
FOUND = Path("fuzz")
RSS = 2048 + 1024  # MB: 2 GiB, and what the libraries take


def change(kind: str, path: Path, runs: int, process: Reader) -> int:
    """Truncations and random changes of one file; how many of them ended in anything but a line."""
    whole, draw, bad = path.read_bytes(), random.Random(f"nightly {kind}"), 0
    refused = 0
    for content in [*truncated(whole), *(flipped(whole, draw) for _ in range(runs))]:
        path.write_bytes(content)
        try:
            refused += process.said(kind, path) != ""
        except AssertionError as error:
            bad += 1
            FOUND.mkdir(exist_ok=True)
            kept = FOUND / f"{kind.replace(' ', '-')}-{bad}{path.suffix}"
            kept.write_bytes(content)
            print(f"{kept}: {error}", flush=True)
    path.write_bytes(whole)
    print(f"{kind}: {runs + 10} changes, {refused} refused, {bad} bad, peak {process.peak // 1024} MB", flush=True)
    return bad


def guide(kind: str, path: Path, seconds: int) -> int:
    """atheris on one kind, in a process of its own; 1 if it found something."""
    with tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "seed").write_bytes(path.read_bytes())
        prefix = f"{FOUND}/{kind.replace(' ', '-')}-"
        limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={RSS}",
                  f"-max_len={2 * path.stat().st_size}", f"-artifact_prefix={prefix}"]  # fmt: skip
        FOUND.mkdir(exist_ok=True)
        command = [sys.executable, __file__, "--guided", kind, str(path), *limits, corpus]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        made = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = made.stderr.splitlines()
    last = next((line for line in reversed(lines) if "cov:" in line), "no run")
    print(f"{kind}: atheris: {last.strip()}", flush=True)
    if made.returncode:
        print("\n".join(lines[-25:]), made.stdout[-2000:], sep="\n", flush=True)
    return int(made.returncode != 0)


def guided(kind: str, path: Path, options: list[str]) -> None:
    """In the process of atheris: read what it makes up, from a copy of the file."""
    import atheris

    from gmmedit.errors import GmmeditError

    with atheris.instrument_imports(include=["gmmedit", "numpy.lib", "zipfile", "yaml", "csv"]):
        read = readers()[kind]

    def once(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        except GmmeditError as error:
            assert error.message.isprintable() and error.hint.isprintable(), error.message

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ["--guided"]:
        guided(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=int, default=GUIDED)
    asked = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder, reader() as process:
        for kind, path in seeds(Path(folder) / "seeds").items():
            if asked.kind in (None, kind):
                bad += change(kind, path, asked.runs, process)
                bad += guide(kind, path, asked.seconds) if asked.seconds else 0
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
