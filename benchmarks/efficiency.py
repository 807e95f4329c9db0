"""How many samples an editor needs: DT and attribute dependency after 500, 1,000, 2,000, 5,000 and 20,000 of them.

    python benchmarks/efficiency.py --out runs/efficiency [--space z] [--sizes 500,1000,2000]

Each size is a run folder of its own, fitted without the terms that run through generator and classifier; the table
is printed and written to OUT/efficiency.jsonl. What is finished is not done again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

EDITORS = ("mixture-polished", "mixture-unrefined", "interfacegan", "interfacegan-conditional", "mean-difference",
           "moments", "flow", "ganspace")  # fmt: skip
GROUPS = ("two-valued", "many-valued")
METRICS = ("dt", "ad_mean@1sd")
CONFIG = "fit_mixture: {{consistency: off}}\ncompare: {{n: {n}, starts: {starts}, editors: [{editors}]}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/efficiency"))
    parser.add_argument("--space", default="w")
    parser.add_argument("--sizes", default="500,1000,2000,5000,20000")
    parser.add_argument("--starts", type=int, default=20, help="images edited towards each category")
    parser.add_argument("-n", type=int, default=400, help="unseen images to choose them from")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    editors = [name for name in EDITORS if options.space == "w" or name != "ganspace"]
    config = options.out / "efficiency.yaml"
    config.write_text(CONFIG.format(n=options.n, starts=options.starts, editors=", ".join(editors)))
    sizes = [int(size) for size in options.sizes.split(",")]
    rows = [
        row for size in sizes for row in scored(options.out / f"{options.space}{size}", size, options.space, config)
    ]
    (options.out / f"{options.space}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for group in GROUPS:
        for metric in METRICS:
            print_table(rows, editors, sizes, group, metric)


def scored(run: Path, size: int, space: str, config: Path) -> list[dict[str, object]]:
    """The figures of one size: the five commands, then what `compare` has written."""
    common = ("--run", run, "--config", config, "--quiet")
    gmmedit("sample", "-n", size, *common)
    gmmedit("label", *common)
    gmmedit("fit-single", "--space", space, *common)
    gmmedit("fit-mixture", *common)
    gmmedit("compare", *common)
    lines = (json.loads(line) for line in (run / "comparison.jsonl").read_text().splitlines())
    return [row | {"samples": size} for row in lines if row["metric"] in METRICS and row["attribute"] in GROUPS]


def gmmedit(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "gmmedit", *map(str, words)], check=True)


def print_table(rows: list[dict[str, object]], editors: list[str], sizes: list[int], group: str, metric: str) -> None:
    """A line for each editor, a column for each number of samples, 95 % intervals in brackets."""
    print(f"\n{metric}, {group} attributes\n\n| editor |", *(f"{size} |" for size in sizes))
    print("|---|" + "---|" * len(sizes))
    found = {
        (row["method"], row["samples"]): row for row in rows if row["metric"] == metric and row["attribute"] == group
    }
    for editor in editors:
        print(f"| {editor} |", *(f"{cell(found.get((editor, size)))} |" for size in sizes))


def cell(row: dict[str, object] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    interval = "" if row["low"] is None else f" ({row['low']:.2f}-{row['high']:.2f})"
    return f"{row['value']:.3f}{interval}"


if __name__ == "__main__":
    main()
