"""The settings that determine the result of a StyleGAN2 training on given data."""

import re
from dataclasses import dataclass, replace

from gmmedit.errors import InputError
from gmmedit.generators.stylegan2 import StyleGAN2Config

EMBEDDED = StyleGAN2Config(resolution=64, channels=(128, 128, 128, 64, 32), z_dim=128, w_dim=128)


@dataclass(frozen=True)
class Knot:
    """The schedule's values from `images` of the last phase on; the learning rate is linear to the next knot's."""

    images: int
    lr: float = 1.0  # factor of the settings' learning rate
    sharpness: float = 0.0  # weight of the entropy of the critic's labels
    balance: float = 0.0  # weight of `imbalance`
    average_images: int = 10_000  # half-life of the moving average of the weights


@dataclass(frozen=True)
class GANSettings:
    """The settings of a run; the defaults are those of the shipped weights."""

    seed: int = 0
    network: StyleGAN2Config = EMBEDDED  # of the last phase
    width: int = 128  # channels of the discriminator
    # (resolution, images shown to the discriminator): growing costs a fraction of 64 pixels throughout
    phases: tuple[tuple[int, int], ...] = ((32, 160_000), (64, 380_000))
    pool: int = 50_000  # distinct renders
    batch: int = 32
    lr: float = 0.0025
    r1: float = 0.2
    r1_every: int = 16
    path_length: float = 2.0
    path_every: int = 8
    mixing: float = 0.5
    schedule: tuple[Knot, ...] = (
        Knot(0), Knot(88_000, 1, 0.2), Knot(93_333, 1, 0.2), Knot(128_000, 0.33, 0.5), Knot(139_999, 0.1, 0.5),
        Knot(140_000, 1, 0.2, 2), Knot(280_000, 1, 0.4, 4), Knot(339_999, 0.05, 0.4, 4),
        Knot(340_000, 0.4, 1, 6), Knot(367_999, 0.03, 1, 6),
        Knot(368_000, 0.15, 1.5, 8, 2_000), Knot(380_000, 0.03, 1.5, 8, 2_000),
    )  # fmt: skip
    data: str = ""  # fingerprint of the data set; "": avatars

    def at(self, images: int) -> Knot:
        """The schedule's values after so many images of the last phase, interpolated between two knots."""
        now = max(i for i, knot in enumerate(self.schedule) if knot.images <= images)
        this, after = self.schedule[now], self.schedule[min(now + 1, len(self.schedule) - 1)]
        part = (images - this.images) / max(after.images - this.images, 1)
        return replace(this, lr=this.lr + (after.lr - this.lr) * min(part, 1))

    @classmethod
    def parse(cls, seed: int | None, phases: str | None) -> "GANSettings":
        """The defaults with another seed, or with phases like `32:160000,64:100000`. InputError: invalid phases."""
        settings = cls() if seed is None else cls(seed=seed)
        if phases is None:
            return settings
        if not re.fullmatch(r"(\d+:\d+)(,\d+:\d+)*", phases):
            raise InputError(
                f"--phases {phases!r} is not of the form SIZE:IMAGES,...", hint="--phases 32:160000,64:100000"
            )
        pairs = [phase.split(":") for phase in phases.split(",")]
        parsed = tuple((int(size), int(images)) for size, images in pairs)
        sizes = [size for size, _ in parsed]
        if not set(sizes) <= set(EMBEDDED.resolutions[2:]) or sizes != sorted(set(sizes)):
            message = f"--phases {phases!r}: sizes must be 16, 32 or 64, in increasing order"
            raise InputError(message, hint="--phases 64:300000")
        return replace(settings, phases=parsed)
