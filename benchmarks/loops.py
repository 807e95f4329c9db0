"""Stages against the bare loops of the networks that they cannot avoid, taking turns in one process."""

import functools
import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from machine import timed
from networks import stylegan2

from gmmedit import classifiers, generators
from gmmedit.classifiers import Classifier
from gmmedit.config import FitMixtureSettings, LabelSettings, SampleSettings
from gmmedit.fitting.data import load_problem
from gmmedit.generators import Generator
from gmmedit.generators.stylegan2 import save_generator
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution, autocast, resolve_precision
from gmmedit.stages import fit_mixture, label, sample

CLASSIFIER = "avatars"


@dataclass
class Versus:
    """Images/s of a stage and of bare loops, a number a round."""

    name: str
    batch: int
    threads: int
    flops: int  # an image, in the bare loop
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    stricter: list[float] = field(default_factory=list)  # a loop with less in it, where there is one

    def share(self) -> float:
        """Of the bare loop's throughput, the median over the rounds."""
        return statistics.median(a / b for a, b in zip(self.ours, self.bare, strict=True))

    def stricter_share(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.stricter, strict=True))

    def speed(self) -> float:
        return statistics.median(self.ours)


class Loops:
    """Networks that stay loaded: what loading takes is not measured here."""

    def __init__(self, folder: Path, device: str, clock: str) -> None:
        generators.load = functools.cache(generators.load)
        classifiers.load = functools.cache(classifiers.load)
        self.folder, self.device, self.clock = folder, device, clock

    def timed(self, function: Callable[[], object]) -> float:
        return timed(function, self.device, self.clock)

    def networks(self, gan: str) -> tuple[Generator, Classifier]:
        return generators.load(gan, self.device), classifiers.load(CLASSIFIER, self.device)

    def large(self) -> str:
        """The path of a StyleGAN2 of 256 pixels with random weights."""
        path = self.folder / "stylegan2-256.safetensors"
        torch.manual_seed(0)
        save_generator(stylegan2(256, 16384), path)
        return str(path)

    def label_all(self, gan: str, few: int, many: int, batch: int, rounds: int) -> Versus:
        """`sample` and `label` of so many rows more, against classifier(generator(z)) of them."""

        def both(run: Path, n: int) -> None:
            sample.run(run, SampleSettings(gan=gan, n=n), self.execution(batch))
            label.run(run, LabelSettings(classifier=CLASSIFIER), self.execution(batch))

        return self.compared("sample + label", both, gan, few, many, batch, rounds)

    def label_only(self, gan: str, few: int, many: int, batch: int, rounds: int) -> Versus:
        """The same of `label`, whose samples are there already."""

        def prepared(run: Path, n: int) -> None:
            sample.run(run, SampleSettings(gan=gan, n=n), self.execution(batch))

        def labels(run: Path, n: int) -> None:
            label.run(run, LabelSettings(classifier=CLASSIFIER), self.execution(batch))

        return self.compared("label", labels, gan, few, many, batch, rounds, prepared)

    def compared(
        self, name: str, stage: Callable[[Path, int], None], gan: str, few: int, many: int, batch: int, rounds: int,
        prepare: Callable[[Path, int], None] = lambda run, n: None,
    ) -> Versus:  # fmt: skip
        """What `many` rows take more than `few`: start and end of a stage drop out."""
        generator, classifier = self.networks(gan)
        found = Versus(name, batch, torch.get_num_threads(), flops_of(lambda: labelled(generator, classifier, 1)))
        rows = many - few
        sizes = [batch] * (rows // batch) + [rows % batch] * (rows % batch > 0)

        def bare() -> None:
            for size in sizes:
                labelled(generator, classifier, size)

        def run(n: int) -> float:
            run = self.folder / "loop"
            shutil.rmtree(run, ignore_errors=True)
            prepare(run, n)
            return self.timed(lambda: stage(run, n))

        run(few)  # whatever is done once
        for _ in range(rounds):
            start, whole, plain = run(few), run(many), self.timed(bare)
            found.ours.append(rows / (whole - start))
            found.bare.append(rows / plain)
        return found

    def execution(self, batch: int) -> Execution:
        return Execution(device=self.device, batch=batch)

    def consistency(self, run: Path, rounds: int, large: bool = False) -> Versus:
        """Steps of `fit-mixture`, against generating as many images without gradient and going forward and back
        through generator and classifier for as many with it; the stricter loop has no generation without gradient.

        large: the run's images are generated by a StyleGAN2 of 256 pixels with random weights.
        """
        settings = FitMixtureSettings(steps=10**6)
        precision = resolve_precision(settings.precision, self.device)
        with RunFolder(run, Execution(self.device)) as folder:
            generator, classifier = self.networks(folder.sample_settings.gan)
            if large:
                generator = stylegan2(256, 16384, w_dim=generator.w_shape[1])
            settings = settings.model_copy(update={"precision": precision})
            spec = fit_mixture.run_spec(folder, settings)
            chart = folder.chart("single")
            problem = load_problem(folder, spec.config["space"], spec.config["held_out"], chart)
            score = Renderer(generator, SampleSettings()).make_score("w", chart, classifier, precision)
            model = fit_mixture.initialise_model(folder.model("single"), problem, settings, generator.w_shape[0])
            fit = fit_mixture.make_fit(model, problem, score, settings, spec.config["likelihood"], None, None)
            w = torch.from_numpy(folder.samples.rows("w", 0, settings.batch)).to(self.device)

        def generate() -> Tensor:
            with torch.no_grad(), autocast(precision, self.device):
                return generator.synthesize(w)

        def back() -> None:
            here = w.clone().requires_grad_(True)
            with autocast(precision, self.device):
                images = generator.synthesize(here)
                loss = classifier.logits(images).float().square().mean() + images.float().abs().mean()
            torch.autograd.grad(loss, here)

        def bare() -> None:
            generate()
            back()

        flops = flops_of(bare) // settings.batch
        found = Versus("fit-mixture, exact", settings.batch, torch.get_num_threads(), flops)
        next(fit)
        for _ in range(rounds):
            found.ours.append(settings.batch / self.timed(lambda: next(fit)))
            found.bare.append(settings.batch / self.timed(bare))
            found.stricter.append(settings.batch / self.timed(back))
        return found


@torch.no_grad()
def labelled(generator: Generator, classifier: Classifier, rows: int) -> Tensor:
    """The bare loop's body."""
    z = torch.randn(rows, generator.z_dim, device=generator.device)
    return classifier.logits(generator.synthesize(generator.map(z)))


def flops_of(function: Callable[[], object]) -> int:
    """A multiplication and an addition count as two."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
