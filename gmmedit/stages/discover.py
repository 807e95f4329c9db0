"""Directions without labels: a decomposition of the generator or of its images, and an encoder.

Reads samples.h5 and the generator, labels.h5 (if there is one) only to name what was found; writes directions.h5, and
in the folder `directions` a strip for each direction, a sheet, and the files of the three stages, from which a stopped
discovery resumes.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np
import torch

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.artifacts.spec import differences
from gmmedit.config import DiscoverSettings
from gmmedit.discovery.components import check_variety
from gmmedit.discovery.effects import Effects, label_affinity, measure_effects
from gmmedit.discovery.latents import Latents, check_count
from gmmedit.discovery.reader import reading_bank
from gmmedit.discovery.reading import read_directions
from gmmedit.discovery.strips import has_strips, remove_strips, write_strips
from gmmedit.discovery.training import Found, find_directions
from gmmedit.errors import InputError, RunError, refuse_link
from gmmedit.fitting.data import resolve_space
from gmmedit.networks.weights import fingerprint_tensors
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.hold_out import labelled_rows
from gmmedit.run.labelled import labelled_latents
from gmmedit.run.precision import settle_precision
from gmmedit.runtime.commands import on_run
from gmmedit.runtime.execution import ALONE, Execution, prepare
from gmmedit.runtime.storage import lock
from gmmedit.spaces import first_non_finite, fit_chart

TRAINED = ("contrastive", "shift")  # methods that need the generator's gradients
FOLDER = "directions"
LEAST_CHANGE = 0.25
COMPARED = 64  # samples, of whose images two must differ
LEAST_DIMENSIONS = 2  # with one there is nothing to tell apart


def run(folder: Path, settings: DiscoverSettings, execution: Execution) -> Path:
    """Write folder/directions.h5 and the images.

    InputError: samples.h5 is missing or cannot be used; the generator has no gradients, or more directions than
    dimensions are asked for; directions.h5 has other settings. RunError: a training diverged, or another process
    discovers here.
    """
    prepare(execution)
    path = folder / "directions.h5"
    with RunFolder(folder, execution) as run_folder:
        space = resolve_space(run_folder.samples, settings.space)
        settings = settings.model_copy(update={"space": space})
        if run_folder.file("labels").exists():
            run_folder.artifact("labels")
        spec = run_spec(run_folder, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            add_missing_images(path, run_folder, settings, execution)
            return path
        spec = settle_precision(path, spec, execution)
        if execution.processes.main:  # the others end with it
            with lock(path):
                discover(path, spec, run_folder, settings, replace(execution, processes=ALONE))
    return path


def discover(
    path: Path, spec: RunSpec, run_folder: RunFolder, settings: DiscoverSettings, execution: Execution
) -> None:
    """Find the directions, from the last checkpoint if there is one, and write directions.h5 and the images."""
    folder = path.parent / FOLDER
    latents = load_latents(run_folder, settings, str(spec.resolved_config["precision"]))
    generator = latents.renderer.generator
    gan = str(spec.config["gan"])
    check_dimensions(latents, gan, path.parent)
    check_method(settings, latents, gan)
    check_variety(reading_bank(latents, COMPARED))
    labelled = read_labelled(run_folder, latents) if "labels" in run_folder.opened else None
    force = execution.force or differs_in_labels_only(path, spec)
    if artifacts.load_checkpoint(path, spec, execution.restart, force) is None:
        artifacts.save_checkpoint(path, spec, {"begun": np.ones(1)})  # what is resumed is in the folder
    refuse_link(folder)
    before = fingerprint_tensors(generator.state_dict())
    found = find_directions(latents, settings, identity_of(spec), folder, execution)
    effects = measure_effects(latents, found.directions, found.encoder, found.tell, execution)
    if fingerprint_tensors(generator.state_dict()) != before:
        raise RunError("the generator's weights have changed during the discovery", hint="report this as a bug")
    arrays = to_arrays(latents, found, effects, settings.k == "auto")
    if labelled is not None:
        x, logits = labelled
        layout = layout_of(run_folder.labels)
        arrays["affinity"] = label_affinity(x, torch.from_numpy(arrays["directions"]), logits, layout)
    config = found.encoder.config
    shape = {"image_shape": list(config.image_shape), "code": config.code, "features": config.features}
    facts = {"encoder": shape, "generator_before_and_after": before, "basis": found.basis and found.basis.source}
    remove_strips(folder)  # those of earlier directions
    artifacts.write_whole(path, spec, arrays, facts)
    with artifacts.open(path, "directions") as artifact:
        write_strips(folder, latents, read_directions(artifact), execution)


def add_missing_images(path: Path, run_folder: RunFolder, settings: DiscoverSettings, execution: Execution) -> None:
    """Write the images of a finished directions.h5, if some are missing: a run was stopped before them."""
    with artifacts.open(path, "directions") as artifact:
        if not execution.processes.main or has_strips(path.parent / FOLDER, len(artifact["scale"])):
            return
        latents = load_latents(run_folder, settings, str(artifact.spec.resolved_config["precision"]))
        refuse_link(path.parent / FOLDER)
        with lock(path):
            write_strips(path.parent / FOLDER, latents, read_directions(artifact), replace(execution, processes=ALONE))


def load_latents(run_folder: RunFolder, settings: DiscoverSettings, precision: str) -> Latents:
    """The samples of the run in chart coordinates. InputError: fewer than two, or numbers that are not finite."""
    samples = run_folder.samples
    values = torch.from_numpy(samples[settings.space])
    if first_non_finite(values) is not None or len(values) < 2:
        message = f"{samples.path}:/{settings.space} holds NaN or infinite latents, or a single one"
        raise InputError(message, hint=samples.kind.hint(samples.path.parent))
    space = run_folder.space(settings.space)
    chart = fit_chart(space, values)
    return Latents(run_folder.renderer, space, chart, chart.to_x_(values), precision)


def check_dimensions(latents: Latents, gan: str, folder: Path) -> None:
    """InputError: the samples span a single dimension, in which no directions can be told apart."""
    if latents.x.shape[1] >= LEAST_DIMENSIONS:
        return
    spaces = latents.renderer.generator.spaces
    others = [name for name, space in spaces.items() if name != latents.space.name and space.dim >= LEAST_DIMENSIONS]
    hint = f"--space {others[0]}" if others else "--gan of gmmedit sample names a generator of more latent dimensions"
    if len(latents.x) <= LEAST_DIMENSIONS <= latents.space.dim:
        hint = f"take more samples: {on_run(f'gmmedit sample --gan {quote(gan)} -n 1000 --force', folder)}"
    message = f"{len(latents.x)} samples span one dimension of {latents.space.name.upper()} of {gan}"
    raise InputError(f"{message}, and directions need {LEAST_DIMENSIONS}", hint=hint)


def check_method(settings: DiscoverSettings, latents: Latents, gan: str) -> None:
    """InputError: more directions than dimensions, or a method that needs gradients which the generator has not."""
    words = (f"{settings.space.upper()} of {gan}", "-k")
    if settings.k != "auto":
        check_count(settings.k, latents.x.shape[1], words)
    if settings.encoder == "components" != settings.method:
        message = f"encoder: components is for --method components, not {settings.method}"
        raise InputError(message, hint="encoder: auto, regression or contrast")
    if settings.method in TRAINED and not latents.renderer.generator.differentiable:
        message = f"{gan} has no gradients, which --method {settings.method} needs"
        raise InputError(message, hint="--method components, varimax, sefa, pca or random: they need none")


def identity_of(spec: RunSpec) -> str:
    """A digest of what the result of a training depends on beside the settings: generator, samples, precision."""
    generator = (spec.generator or {}).get("fingerprint")
    parts = (generator, spec.parents["samples"], spec.config["space"], spec.resolved_config["precision"])
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def to_arrays(latents: Latents, found: Found, effects: Effects, by_rule: bool) -> dict[str, np.ndarray]:
    """The datasets, without labels; directions as `order_of` has them."""
    order = order_of(effects.change, by_rule)
    arrays = {
        "directions": found.directions[order], "scale": effects.scale[order], "origin": latents.x.mean(0),
        "dominant": effects.dominant[order], "change": effects.change[order],
        "kind/mean": effects.kind.mean, "kind/deviation": torch.tensor(effects.kind.deviation),
        **{f"chart/{name}": value for name, value in latents.chart.arrays().items()},
        **{f"encoder/{name}": value for name, value in found.encoder.state_dict().items()},
    }  # fmt: skip
    if found.candidates is not None:
        arrays["candidates/directions"] = found.candidates
    if found.basis is not None:
        arrays |= {"basis/rows": found.basis.rows, "basis/values": found.basis.values}
    history = {f"history/{name}": np.asarray(values, dtype=np.float64) for name, values in found.history.items()}
    return {name: value.cpu().numpy() for name, value in arrays.items()} | history


def order_of(change: torch.Tensor, by_rule: bool) -> torch.Tensor:
    """The numbers of directions, by how much they change images (k,).

    by_rule: without those that change them by less than LEAST_CHANGE of what the first does, if two are left.
    """
    order = change.argsort(descending=True, stable=True)
    return order[: max(2, int((change >= LEAST_CHANGE * change.max()).sum()))] if by_rule else order


def read_labelled(run_folder: RunFolder, latents: Latents) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates (M, D') and logits (M, K) of what labels.h5 labels.

    InputError: it holds NaN, or is of photographs whose inversions.h5 is missing, another one, or of another space.
    """
    labels = run_folder.labels
    rows = labelled_rows(labels)
    found = labelled_latents(run_folder, latents.space.name, rows, latents.chart)
    return latents.chart.to_x(found), torch.from_numpy(labels["logits"][rows])


def differs_in_labels_only(path: Path, spec: RunSpec) -> bool:
    """Whether a stopped discovery was the same but for the labels, which no training depends on."""
    there = artifacts.read_partial_spec(path)
    return there is not None and not differences(without_labels(there).facts(), without_labels(spec).facts())


def without_labels(spec: RunSpec) -> RunSpec:
    """The specification of the same directions.h5 in a run without labels."""
    parents = {name: parent for name, parent in spec.parents.items() if name != "labels"}
    return replace(spec, parents=parents, classifier=None, attributes=())


def run_spec(run_folder: RunFolder, settings: DiscoverSettings) -> RunSpec:
    """The specification of directions.h5."""
    samples, labels = run_folder.samples, run_folder.opened.get("labels")
    parents = {"samples": samples.fingerprint} | ({"labels": labels.fingerprint} if labels else {})
    return RunSpec(
        kind="directions",
        n=samples.spec.n,
        seed=settings.seed,
        config=settings.model_dump() | {"gan": samples.spec.config["gan"]},
        parents=parents,
        generator=samples.spec.generator,
        classifier=labels.spec.classifier if labels else None,
        attributes=labels.spec.attributes if labels else (),
    )
