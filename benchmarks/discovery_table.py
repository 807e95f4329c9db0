"""The table of docs/discover.md: mean and standard error of each variant, and its distance from the method under test.

    python benchmarks/discovery_table.py runs/discovery runs/discovery_1

Each folder is an --out of discovery.py, of one generator. The distance is the mean difference (method minus variant)
over the generators and seeds that have both, and how many of its standard errors that is; a VAE does not depend on the
generator, and may be in one folder only: it is compared as two independent means.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

SCORES = {
    "mig": "MIG", "dci_disentanglement": "DCI disentanglement", "dci_completeness": "completeness",
    "dci_informativeness": "informativeness", "sap": "SAP", "factor_vae": "FactorVAE", "beta_vae": "BetaVAE",
    "purity": "purity", "drift": "drift",
}  # fmt: skip
COMPARED = ("mig", "dci_disentanglement")
DATA_ALONE = ("vae", "beta-vae")
Scores = Mapping[tuple[str, int], Mapping[str, float]]  # by folder and seed


def read(folders: Sequence[Path]) -> dict[str, Scores]:
    """The scores of each variant."""
    found: dict[str, dict] = {}
    for folder in folders:
        for line in map(json.loads, (folder / "results.jsonl").read_text().splitlines()):
            found.setdefault(line["variant"], {})[str(folder), line["seed"]] = line
    return dict(found)


def mean_of(values: Sequence[float]) -> str:
    """Mean and standard error."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return "-"
    error = f" ± {known.std(ddof=1) / len(known) ** 0.5:.3f}" if len(known) > 1 else ""
    return f"{known.mean():.3f}{error}"


def distance(method: Scores, other: Scores, score: str, independent: bool) -> str:
    """How much higher the method is, and in standard errors."""
    if independent:
        one, two = (np.array([line[score] for line in scores.values()]) for scores in (method, other))
        gap, error = one.mean() - two.mean(), (one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two)) ** 0.5
    else:
        shared = sorted(method.keys() & other.keys())
        gaps = np.array([method[key][score] - other[key][score] for key in shared])
        if len(gaps) < 2:
            return "-"
        gap, error = gaps.mean(), gaps.std(ddof=1) / len(gaps) ** 0.5
    return f"{gap:+.3f} ({gap / error:.1f})"


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--method", default="varimax")
    args = parser.parse_args()
    found = read(args.folders)
    columns = ["variant", "n", *SCORES.values(), *(f"ahead in {SCORES[score]} (in s.e.)" for score in COMPARED)]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for variant, lines in found.items():
        means = [mean_of([line.get(score) for line in lines.values()]) for score in SCORES]
        ahead = ["-"] * len(COMPARED)
        if variant != args.method and args.method in found and len(found[args.method]) > 1 and len(lines) > 1:
            ahead = [distance(found[args.method], lines, score, variant in DATA_ALONE) for score in COMPARED]
        print("| " + " | ".join([variant, str(len(lines)), *means, *ahead]) + " |")


if __name__ == "__main__":
    main()
