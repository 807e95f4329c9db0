"""Run folders of the embedded model and of a large network, and what their commands take on a card."""

import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from machine import timed
from networks import stylegan2
from torch import Tensor

from cards.measuring import Meter
from gmmedit import artifacts, classifiers, generators
from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.convnet import ConvNet, ConvNetConfig
from gmmedit.classifiers.embedded import save_network
from gmmedit.config import EditSettings, FitMixtureSettings, FitSingleSettings, LabelSettings, SampleSettings
from gmmedit.editing.request import Request
from gmmedit.editing.session import EditSession, open_session
from gmmedit.fitting.data import load_problem
from gmmedit.fitting.edits import make_show
from gmmedit.generators.stylegan2 import save_generator
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution, autocast, resolve_precision
from gmmedit.stages import edit, fit_mixture, fit_single, label, sample

ATTRIBUTES = (Attribute("light", ("no", "yes")), Attribute("warm", ("no", "yes")))
BALANCED_ON = 32  # images
SPREAD = 2.0  # standard deviation of a label's log-odds
EDITED = 8  # images


@dataclass(frozen=True)
class Subject:
    """A run's generator and classifier, an attribute to edit, and how many samples are drawn."""

    gan: str
    classifier: str
    attribute: str
    n: int

    @property
    def request(self) -> Request:
        """The edit of the first images towards the attribute."""
        return Request.parse([self.attribute], index=f"0-{EDITED - 1}")


def embedded(n: int) -> Subject:
    """The networks that come with gmmedit."""
    return Subject("avatars", "avatars", "smile", n)


@torch.no_grad()
def make_large(folder: Path, size: int, base: int, device: str, n: int) -> Subject:
    """A StyleGAN2 with random weights, and a classifier of random features that calls half of its images yes."""
    torch.manual_seed(0)
    network = stylegan2(size, base, w_dim=512 if size > 64 else 32)
    save_generator(network, folder / "generator.safetensors")
    judge = ConvNet(ConvNetConfig(ATTRIBUTES, size=64)).eval().requires_grad_(False)
    network, judge = network.to(device), judge.to(device)
    z = torch.randn(BALANCED_ON, network.z_dim, generator=torch.Generator().manual_seed(1)).to(device)
    images = torch.cat([network.synthesize(network.map(part)) for part in z.split(4)])
    balance(judge, judge.features(as_shown(images)))
    save_network(judge.cpu(), folder / "classifier.safetensors")
    return Subject(str(folder / "generator.safetensors"), str(folder / "classifier.safetensors"), "light", n)


def balance(judge: ConvNet, features: Tensor) -> None:
    """The log-odds of both attributes become the two main components of the features (N, F), with median 0."""
    centred = features - features.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    scores = features @ axes.T
    axes = axes * (SPREAD / scores.std(0))[:, None]
    middle = (features @ axes.T).median(0).values
    weight = torch.stack([-axes / 2, axes / 2], 1).flatten(0, 1)
    bias = torch.stack([middle / 2, -middle / 2], 1).flatten()
    judge.head.weight.copy_(weight)
    judge.head.bias.copy_(bias)


# Commands


def draw_and_label(run: Path, subject: Subject, execution: Execution, images: bool = False) -> None:
    """The first two steps."""
    sample.run(run, SampleSettings(gan=subject.gan, n=subject.n, images=images), execution)
    label.run(run, LabelSettings(classifier=subject.classifier), execution)


def fit(run: Path, device: str, steps: int, single: bool = True) -> None:
    """The fits; of fit-mixture so many steps in fp32."""
    if single:
        fit_single.run(run, FitSingleSettings(steps=100), Execution(device))
    fit_mixture.run(run, FitMixtureSettings(steps=steps, precision="fp32"), Execution(device))


def find_edits(run: Path, subject: Subject, device: str, polish: int, out: Path) -> None:
    """edits.h5 in `out`."""
    edit.run(run, EditSettings(polish=polish), subject.request, Execution(device), out)


def copy_files(run: Path, target: Path, *kinds: str) -> Path:
    """A run folder with these artifacts of another."""
    target.mkdir()
    for kind in kinds:
        shutil.copy(run / f"{kind}.h5", target)
    return target


# Correctness


def compare_with_cpu(folder: Path, device: str, subject: Subject, steps: int, polish: int) -> dict[str, Any]:
    """Differences between the CPU's artifacts and the device's from the same inputs, each with what it may be."""
    on_cpu = folder / "on the CPU"
    draw_and_label(on_cpu, subject, Execution(), images=True)
    fit(on_cpu, "cpu", steps)
    find_edits(on_cpu, subject, "cpu", polish, folder / "edits of the CPU")
    drawn = folder / "drawn"
    draw_and_label(drawn, subject, Execution(device, batch=64), images=True)
    fitted = copy_files(on_cpu, folder / "fitted", "samples", "labels", "single")
    fit(fitted, device, steps, single=False)
    edited = copy_files(on_cpu, folder / "edited", "samples", "labels", "single", "mixture")
    find_edits(edited, subject, device, polish, folder / "edits of the device")
    edits = folder / "edits of the CPU", folder / "edits of the device"
    found = {
        "w, mean": (mean_difference(on_cpu, drawn, "samples", "w"), 1e-3),
        "images, levels of 255, mean": (mean_difference(on_cpu, drawn, "samples", "images"), 1.0),
        "logits, mean": (mean_difference(on_cpu, drawn, "labels", "logits"), 0.05),
        "loss of fit-mixture": (mean_difference(on_cpu, fitted, "mixture", "history/loss"), 0.05),
        "edited labels, mean": (mean_difference(*edits, "edits", "labels_after"), 0.05),
        "edited images, levels of 255, mean": (mean_difference(*edits, "edits", "images_after"), 4.0),
    }
    return {name: {"difference": value, "allowed": most, "ok": value <= most} for name, (value, most) in found.items()}


def mean_difference(one: Path, other: Path, kind: str, name: str) -> float:
    """The mean absolute difference of a dataset in two folders' artifacts."""
    with artifacts.open(one / f"{kind}.h5", kind) as first, artifacts.open(other / f"{kind}.h5", kind) as second:
        return float(abs(first[name].astype(float) - second[name].astype(float)).mean())


# Speed


def compare_labelling(
    folder: Path, meter: Meter, subject: Subject, more: int, batch: int, rounds: int
) -> dict[str, Any]:
    """Images/s of `more` further rows of sample and label, and of the loop classifier(generator(z)) over as many."""
    device = meter.device
    generator, classifier = generators.load(subject.gan, device), classifiers.load(subject.classifier, device)

    @torch.no_grad()
    def loop() -> None:
        for _ in range(more // batch):
            z = torch.randn(batch, generator.z_dim, device=device)
            classifier.logits(generator.synthesize(generator.map(z)))

    def commands(n: int) -> float:
        shutil.rmtree(folder / "loop", ignore_errors=True)
        run = Subject(subject.gan, subject.classifier, subject.attribute, n)
        return timed(lambda: draw_and_label(folder / "loop", run, Execution(device, batch)), device)

    commands(batch)
    pairs = [(commands(batch + more) - commands(batch), timed(loop, device)) for _ in range(rounds)]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    share = statistics.median(b / o for o, b in pairs)
    return {"batch": batch, "images_per_second": more / ours, "bare_images_per_second": more / bare,
            "of_the_bare_loop": share, "peak_mb": meter.megabytes(loop)}  # fmt: skip


def time_fit_step(run: Path, meter: Meter, batch: int) -> dict[str, Any]:
    """Seconds of a step of fit-mixture, and of its networks alone: images of as many samples without gradient, and
    forward and backward through generator and classifier."""
    device = meter.device
    precision = resolve_precision("auto", device)
    settings = FitMixtureSettings(steps=10**6, batch=batch, precision=precision)
    with RunFolder(run, Execution(device)) as folder:
        spec = fit_mixture.run_spec(folder, settings)
        space = spec.config["space"]
        problem = load_problem(folder, space, spec.config["held_out"], folder.chart("single"))
        score, layers = fit_mixture.make_score(folder, space, problem, settings)
        model = fit_mixture.initialise_model(folder.model("single"), problem, settings, layers)
        show = make_show(folder, space, problem, settings)
        steps = fit_mixture.make_fit(model, problem, score, settings, spec.config["likelihood"], None, show)
        latents = torch.from_numpy(folder.samples.rows(space, 0, batch)).to(device)
        networks = bare_step(folder.renderer, folder.classifier, latents, space, precision, device)
        seconds, alone = meter.seconds(lambda: next(steps)), meter.seconds(networks)
        memory = meter.megabytes(lambda: next(steps))
    return {"batch": batch, "precision": precision, "seconds": seconds, "networks_alone": alone,
            "of_the_networks": alone / seconds, "peak_mb": memory}  # fmt: skip


def bare_step(
    renderer: Renderer, classifier: Any, latents: Tensor, space: str, precision: str, device: str
) -> Callable[[], None]:
    """What a step of fit-mixture asks of the networks."""

    def step() -> None:
        with autocast(precision, device):
            with torch.no_grad():
                renderer.generate(latents, space)
            here = latents.clone().requires_grad_()
            images = renderer.generate(here, space).float()
            loss = classifier.logits(images).float().square().mean() + images.abs().mean()
        torch.autograd.grad(loss, here)

    return step


def time_edit(run: Path, meter: Meter, subject: Subject, polish: int) -> dict[str, Any]:
    """Seconds of the edit of EDITED images once the networks are loaded, without PNGs."""
    with RunFolder(run, Execution(meter.device)) as folder:
        session = open_session(folder, EditSettings(polish=polish))
        _, latent = edit.select_latents(subject.request, folder, session)
        category = subject.request.aims[0].category(folder.artifact("mixture").attributes)

        def find(rows: Tensor) -> None:
            for part in rows.split(session.chunk):
                edit_part(session, category, part)

        find(latent[: session.chunk])  # whatever is done once
        seconds = timed(lambda: find(latent), meter.device)
        memory = meter.megabytes(lambda: find(latent[: session.chunk]))
    return {"images": len(latent), "at_once": session.chunk, "polish": polish, "seconds": seconds, "peak_mb": memory}


@torch.no_grad()
def edit_part(session: EditSession, category: int, latent: Tensor) -> None:
    """Generate some latents (N, L, D), find their edits of strength 1, and generate those."""
    session.generate(latent)
    editor = session.make_editor(range(len(latent)))
    session.generate(session.move(editor, latent, [(category, torch.ones(len(latent)))]))
