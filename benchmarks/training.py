"""Images a second of trainings on data, in float32 and bfloat16, with weights in either memory order.

    python benchmarks/training.py [--size 32] [--steps 12] [--threads 1]

Noise images and random weights: the time of a step depends on neither. Activations are in channels_last order in any
case. Seconds are of the processor, all threads together, so that other load on the machine matters less.
"""

import argparse
import time
from collections.abc import Iterator

import machine
import numpy as np
import torch

from gmmedit.classifiers.attributes import Attribute
from gmmedit.training.base import Trainer
from gmmedit.training.classifier import ClassifierTraining
from gmmedit.training.from_data import DataRequest, size_classifier, size_generator
from gmmedit.training.precision import gains_from_bf16
from gmmedit.training.stylegan2 import GANTraining

WARM_UP = 2  # steps
ATTRIBUTES = (Attribute("kind", tuple("0123456789")),)


class Shape:
    """The shape of a data set, which is all that sizes a training."""

    fingerprint = "noise"

    def __init__(self, size: int) -> None:
        self.image_shape = (3, size, size)

    def __len__(self) -> int:
        return 1000


class NoiseClassifier(ClassifierTraining):
    """A labelling classifier of noise."""

    def draw_part(self, part: int) -> tuple[torch.Tensor, torch.Tensor, None]:
        """See `ClassifierTraining.draw_part`."""
        size, n = self.settings.network.size, self.batch // self.parts.total
        generator = self.random_of(part)[1]
        values = torch.randint(10, (n, 1), generator=generator)
        return torch.rand(n, 3, size, size, generator=generator) * 2 - 1, values, None


def make_trainings(size: int, bf16: bool) -> Iterator[tuple[str, Trainer]]:
    """The trainings of images of that size, by name."""
    shape, request = Shape(size), DataRequest("noise", size)
    pixels = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), dtype=np.uint8)
    settings = size_generator(shape, request)  # type: ignore[arg-type]
    yield "stylegan2", GANTraining(settings, pixels, phase=len(settings.phases) - 1, bf16=bf16)
    for name, evaluator in (("labelling classifier", False), ("evaluation classifier", True)):
        chosen = size_classifier(shape, ATTRIBUTES, request, evaluator)  # type: ignore[arg-type]
        yield name, NoiseClassifier(chosen, "noise", bf16=bf16)


def measure(training: Trainer, steps: int) -> float:
    """Images a second of processor time over so many steps, after WARM_UP others."""
    taken = iter(training)
    for _ in range(WARM_UP):
        next(taken)
    start = time.process_time()
    for _ in range(steps):
        next(taken)
    return steps * training.batch / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    print(machine.described(), f"; {given.threads} threads, {given.size} pixels; bf16 chosen: {gains_from_bf16('cpu')}")
    for bf16 in (False, True):
        for order in (torch.contiguous_format, torch.channels_last):
            for name, training in make_trainings(given.size, bf16):
                for network in training.networks().values():
                    network.to(memory_format=order)
                speed = measure(training, given.steps)
                words = f"{'bf16' if bf16 else 'fp32'}, {str(order).removeprefix('torch.')}"
                print(f"{name}: {speed:.0f} images/s, {words}", flush=True)


if __name__ == "__main__":
    main()
