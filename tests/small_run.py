"""A run folder with every artifact, its numbers drawn at random: what the report reads, and no network behind it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.config import EditSettings, EvaluateSettings
from gmmedit.evaluation.results import write_figures
from gmmedit.report import strips
from gmmedit.report.examples import examples_of

Attributes = Sequence[tuple[str, Sequence[str]]]

PLAIN: Attributes = [("smile", ["no", "yes"]), ("age", ["young", "old"]), ("hair", ["black", "red", "grey"])]
NOBODY = {"name": "nobody", "fingerprint": "a" * 64}
STRENGTHS = np.array([0.0, 0.5, 1.0, 2.0])
N, SIDE = 40, 16
FIDELITY = ("labels", "hits", "coefficients")


def write_run(folder: Path, attributes: Attributes = PLAIN, editors: Sequence[str] = ("mixture", "random")) -> Path:
    """samples.h5 to comparison.h5, and the strips.h5 that goes with them."""
    folder.mkdir(parents=True, exist_ok=True)
    source = np.random.default_rng(0)
    parents: dict[str, str] = {}
    columns = sum(len(values) for _, values in attributes)
    common = {"n": N, "generator": NOBODY, "classifier": NOBODY, "attributes": attributes}
    samples = RunSpec("samples", N, config={"gan": "nobody"}, sizes={"z_dim": 4}, generator=NOBODY)
    rows(folder, samples, {"z": source.normal(size=(N, 4))}, parents)
    logits = 3 * source.normal(size=(N, columns))
    labels = RunSpec("labels", config={"classifier": "nobody"}, sizes={"K": columns}, parents=parents, **common)
    rows(folder, labels, {"labels": probabilities(logits, attributes), "logits": logits}, parents)
    for kind in ("single", "mixture"):
        spec = RunSpec(kind, config={"space": "z", "steps": 30}, parents=dict(parents), **common)
        whole(folder, spec, fit(attributes, source), parents, {"converged": True, "steps": 30})
    for kind in ("evaluation", "comparison"):
        config = EvaluateSettings(n=N).model_dump() | {"space": "z"}
        spec = RunSpec(kind, config=config, parents={"mixture": parents["mixture"]}, **common)
        found = seen(attributes, editors, logits, source)
        if kind == "evaluation":
            found |= {f"fidelity/{name}": source.uniform(size=(columns, 9)) for name in FIDELITY}
        whole(folder, spec, found, {}, {"editors": list(editors), "notes": [f"a note on {kind}"]})
        write_figures(folder / f"{kind}.h5")
    write_strips(folder, attributes, columns, source)
    return folder


def rows(folder: Path, spec: RunSpec, arrays: dict[str, np.ndarray], parents: dict[str, str]) -> None:
    path = folder / f"{spec.kind}.h5"
    with artifacts.create_rows(path, spec) as out:
        out.write(0, N, {name: array.astype(np.float32) for name, array in arrays.items()})
        out.finish()
    parents[spec.kind] = artifacts.file_fingerprint(path)


def whole(
    folder: Path, spec: RunSpec, arrays: dict[str, np.ndarray], parents: dict[str, str], facts: dict[str, object]
) -> None:
    path = folder / f"{spec.kind}.h5"
    artifacts.write_whole(path, spec, arrays, facts)
    parents[spec.kind] = artifacts.file_fingerprint(path)


def probabilities(logits: np.ndarray, attributes: Attributes) -> np.ndarray:
    parts, start = [], 0
    for _, values in attributes:
        own = np.exp(logits[..., start : start + len(values)])
        parts.append(own / own.sum(-1, keepdims=True))
        start += len(values)
    return np.concatenate(parts, -1)


def fit(attributes: Attributes, source: np.random.Generator) -> dict[str, np.ndarray]:
    count, columns = len(attributes), sum(len(values) for _, values in attributes)
    return {
        "parameters/x": np.zeros(1), "chart/mean": np.zeros(1),
        "history/step": np.arange(0, 30, 10), "history/loss": np.array([0.9, 0.5, 0.1]),
        "history/label": np.array([0.3, 0.0, -0.1]),
        "report/accuracy": source.uniform(size=count), "report/separation": source.uniform(size=count),
        "report/rate_read": source.uniform(size=columns), "report/rate_labelled": source.uniform(size=columns),
        "report/angles": source.uniform(0, 90, size=(count, count)),
    }  # fmt: skip


def seen(
    attributes: Attributes, editors: Sequence[str], logits: np.ndarray, source: np.random.Generator
) -> dict[str, np.ndarray]:
    """Edits that raise the target's logit by their strength, and shake the others."""
    found = {"unedited/logits": logits.astype(np.float32)}
    found["unedited/nuisances"] = np.zeros((N, 1), np.float32)
    found["unedited/label_logits"] = logits.astype(np.float32)
    found["unedited/pair_pixels"] = np.full(N, 0.5, np.float32)
    category = 0
    for a, (_, values) in enumerate(attributes):
        start = sum(len(others) for _, others in attributes[:a])
        for value in range(len(values)):
            without = np.flatnonzero(logits[:, start : start + len(values)].argmax(1) != value)[:8]
            for editor in editors:
                moved = logits[without] + STRENGTHS[:, None, None] * source.normal(
                    size=(1, len(without), logits.shape[1])
                )
                moved[..., category] += 8 * STRENGTHS[:, None]
                prefix = f"seen/{editor}/{category}"
                found[f"{prefix}/rows"], found[f"{prefix}/logits"] = without, moved.astype(np.float32)
                found[f"{prefix}/strengths"] = STRENGTHS.astype(np.float32)
                found[f"{prefix}/nuisances"] = np.zeros((len(STRENGTHS), len(without), 1), np.float32)
                found |= {f"{prefix}/one/{name}": array for name, array in at_one(moved[2].astype(np.float32)).items()}
            category += 1
    found |= {f"cost/{editor}": np.array([1.0, np.nan]) for editor in editors}
    return found


def at_one(logits: np.ndarray) -> dict[str, np.ndarray]:
    """Of edits that change the image by a quarter of its range, half of which is left when they are undone."""
    n = len(logits)
    return {
        "strength": np.array(1.0), "logits": logits, "label_logits": logits, "nuisances": np.zeros((n, 1), np.float32),
        "pixels": np.full(n, 0.25, np.float32), "undone_logits": logits[:4],
        "undone_pixels": np.full(4, 0.125, np.float32),
    }  # fmt: skip


def write_strips(folder: Path, attributes: Attributes, columns: int, source: np.random.Generator) -> None:
    """Two ordinary rows for each category, and the picked edits."""
    with artifacts.open(folder / "mixture.h5") as mixture, artifacts.open(folder / "evaluation.h5") as evaluation:
        examples = examples_of(evaluation)
        spec = strips.run_spec(mixture, examples, EditSettings(polish=0), EvaluateSettings().first_seed)
    categories = [*np.repeat(np.arange(columns), 2), *(example.category for example in examples)]
    count = len(categories)
    labels = source.uniform(size=(count, 3, columns)).astype(np.float32)
    artifacts.write_whole(folder / "strips.h5", spec, {
        "categories": np.array(categories), "seeds": np.arange(count),
        "roles": np.array([*[0] * (2 * columns), *(example.role for example in examples)]),
        "strengths": np.tile(np.float32([0, 0.5, 1]), (count, 1)), "labels": labels,
        "images": source.integers(0, 256, size=(count, 3, SIDE, SIDE, 3), dtype=np.uint8),
    }, {"notes": ["a note on pictures"]})  # fmt: skip
