"""How far edits of avatars are from the true counterfactual: the same factors, one attribute changed.

    gmmedit evaluate --run runs/w --classifier avatars-factors --editors mixture-polished,mean-difference
    python benchmarks/counterfactual.py runs/w/evaluation.h5

`avatars-factors` reads all factors of the image before and after an edit at strength 1. An edit is right where the
target has its value, the other attributes keep theirs, and details and nuisances stay: their mean |change| is given in
standard deviations of the factor among avatars. Details that are not seen before or after, those of the target, and
factors that the network cannot read in renders (R^2 below LEAST), are left out. A perfect edit is not read as 0, so
each figure stands beside a floor: the same reading of renders of the true counterfactual; `disturbed`: with blur and
noise of their own on either image, nearer to a generator's.
"""

import argparse
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gmmedit import artifacts, classifiers
from gmmedit.artifacts import Artifact
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets.avatars.factors import ATTRIBUTES, DETAILS, SHOWN_WITH, counterfactual, sample_causal, shown
from gmmedit.datasets.avatars.renderer import render
from gmmedit.errors import InputError
from gmmedit.training.classifier import MILD, accuracy

CATEGORIES = [(attribute, value) for attribute, values in ATTRIBUTES.items() for value in values]
COLUMNS = ("reached", "kept", "details", "nuisances")
BATCH = 128
SEED = 81  # of the rendered avatars
UNIT_FROM = 10_000  # avatars of which the factors' deviations are taken
LEAST, READ_FROM = 0.5, 2_000  # R^2 of a factor that counts, and the avatars on which it is measured
FLOOR, DISTURBED, PAIRS = "floor", "floor, disturbed", "two samples"

Disturb = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reading:
    """What the network reads in n images: values (n, A) of the attributes, numbers (n, M) of details and nuisances."""

    values: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, logits: Tensor, numbers: Tensor) -> "Reading":
        """From logits (n, K)."""
        columns = logits.split([len(values) for values in ATTRIBUTES.values()], dim=1)
        return cls(torch.stack([part.argmax(1) for part in columns], dim=1), numbers)

    def __getitem__(self, rows: Tensor) -> "Reading":
        return Reading(self.values[rows], self.numbers[rows])


@dataclass(frozen=True)
class Errors:
    """Of edits of n images: reached (n,), kept (n,) in [0, 1]; changes (n, M) in deviations, NaN where not counted."""

    reached: Tensor
    kept: Tensor
    changes: Tensor

    def figures(self, names: tuple[str, ...], counted: Collection[str]) -> list[float]:
        """The means of COLUMNS; those of details and nuisances over the images, and over the factors that count."""
        details = torch.tensor([name in DETAILS and name in counted for name in names])
        nuisances = torch.tensor([name not in DETAILS and name in counted for name in names])
        parts = (self.reached, self.kept, self.changes[:, details], self.changes[:, nuisances])
        return [float(part.nanmean()) for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="evaluation.h5 or comparison.h5 of a run on avatars")
    parser.add_argument("--classifier", default="avatars-factors", help="the evaluation classifier of that file")
    parser.add_argument("-n", type=int, default=400, help="rendered avatars of each category for the floor")
    options = parser.parse_args()
    network = classifiers.load(options.classifier)
    if not isinstance(network, TrainedNetwork) or not set(DETAILS) <= set(network.config.nuisances):
        parser.error(f"{options.classifier} does not read all factors")
    try:
        with artifacts.open(options.file) as scored:
            found = measure_edits(scored, network)
    except InputError as error:
        parser.error(f"{error.message}; {error.hint}")
    found |= measure_floors(network, options.n)
    scores = accuracy(network, READ_FROM, SEED)
    print_categories(found, network.config.nuisances, [name for name, score in scores.items() if score >= LEAST])
    print_factors(found, network.config.nuisances, scores)


def measure_edits(scored: Artifact, network: TrainedNetwork) -> dict[str, list[Errors]]:
    """By editor: the errors of its edits towards each category. InputError: another classifier evaluated them."""
    if scored.spec.classifier is None or scored.spec.classifier["fingerprint"] != network.fingerprint:
        raise InputError(f"{scored.path} was not evaluated with this classifier",
                         hint="run: gmmedit evaluate --classifier avatars-factors")  # fmt: skip
    names, unit = network.config.nuisances, deviations(network.config.nuisances)
    before = read_stored(scored, "unedited")
    everyone = torch.arange(len(before.values))
    found: dict[str, list[Errors]] = {}
    for editor in scored.attrs["editors"]:
        found[editor] = []
        for number, (attribute, value) in enumerate(CATEGORIES):
            rows = torch.from_numpy(scored[f"seen/{editor}/{number}/rows"])
            after = read_stored(scored, f"seen/{editor}/{number}/one")
            found[editor].append(compare(before[rows], after, attribute, value, names, unit))
    found[PAIRS] = [compare(before, before[everyone.roll(1)], *category, names, unit) for category in CATEGORIES]
    return found


def read_stored(scored: Artifact, group: str) -> Reading:
    """The reading of images whose outputs are stored in a group of evaluation.h5."""
    return Reading.of(*(torch.from_numpy(scored[f"{group}/{name}"]) for name in ("logits", "nuisances")))


def measure_floors(network: TrainedNetwork, n: int) -> dict[str, list[Errors]]:
    """The errors of true counterfactuals, rendered, of about n avatars without the value for each category."""
    names, unit = network.config.nuisances, deviations(network.config.nuisances)
    random = torch.Generator().manual_seed(SEED)
    found: dict[str, list[Errors]] = {}
    for name, disturb in ((FLOOR, None), (DISTURBED, lambda images: MILD(images, random))):
        found[name] = []
        for attribute, value in CATEGORIES:
            column = list(ATTRIBUTES).index(attribute)
            people = sample_causal(4 * n, SEED)
            people = people[people.attributes[:, column] != ATTRIBUTES[attribute].index(value)][:n]
            changed = counterfactual(people, attribute, value)
            before, after = (read_images(network, render(factors), disturb) for factors in (people, changed))
            found[name].append(compare(before, after, attribute, value, names, unit))
    return found


@torch.no_grad()
def read_images(network: TrainedNetwork, images: Tensor, disturb: Disturb | None = None) -> Reading:
    """The reading of images (n, 3, H, W), disturbed first if a disturbance is given."""
    parts = [network.predict(disturb(part) if disturb else part) for part in images.split(BATCH)]
    return Reading.of(*(torch.cat(outputs) for outputs in zip(*parts, strict=True)))


def compare(
    before: Reading, after: Reading, attribute: str, value: str, names: tuple[str, ...], unit: Tensor
) -> Errors:
    """The errors of edits towards a category, from the readings of n images; unit: the factors' deviations (M,)."""
    column = list(ATTRIBUTES).index(attribute)
    others = [i for i in range(len(ATTRIBUTES)) if i != column]
    changes = (after.numbers - before.numbers).abs() / unit
    seen = shown(before.values, names) & shown(after.values, names)
    own = torch.tensor([SHOWN_WITH.get(name, ("", ""))[0] == attribute for name in names])
    return Errors(
        reached=(after.values[:, column] == ATTRIBUTES[attribute].index(value)).float(),
        kept=(after.values == before.values)[:, others].float().mean(1),
        changes=changes.masked_fill(~seen | own, torch.nan),
    )


def deviations(names: tuple[str, ...]) -> Tensor:
    """Standard deviations (M,) of the factors of these names among avatars."""
    return sample_causal(UNIT_FROM, SEED).numbers(names).std(0)


def print_categories(found: dict[str, list[Errors]], names: tuple[str, ...], counted: Collection[str]) -> None:
    """For each method, COLUMNS of every category and their means, in Markdown."""
    for method, errors in found.items():
        rows = [one.figures(names, counted) for one in errors]
        print(f"\n**{method}**\n\n| category | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
        for (attribute, value), row in zip(CATEGORIES, rows, strict=True):
            print_row(f"{attribute}={value}", row)
        print_row("mean", torch.tensor(rows).mean(0).tolist())


def print_factors(found: dict[str, list[Errors]], names: tuple[str, ...], scores: dict[str, float]) -> None:
    """Of every factor, R^2 in renders and each method's mean |change| over the categories, in Markdown."""
    print(f"\n**factors**\n\n| factor | R^2 | {' | '.join(found)} |\n|{'---|' * (len(found) + 2)}")
    means = [torch.stack([one.changes.nanmean(0) for one in errors]).nanmean(0) for errors in found.values()]
    for name, row in zip(names, torch.stack(means, dim=1).tolist(), strict=True):
        print_row(name, [scores[name], *row])


def print_row(name: str, numbers: list[float]) -> None:
    """A row of a Markdown table."""
    print(f"| {name} | {' | '.join(f'{number:.3f}' for number in numbers)} |")


if __name__ == "__main__":
    main()
