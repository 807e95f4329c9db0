"""The protocol by which an encoder is measured on data with known factors: which images each metric sees.

Every image is encoded once. Images that share one factor's value with another are drawn among all that do, which on a
full grid of factors is what disentanglement_lib does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import InputError
from gmmedit.evaluation.metrics.disentanglement import (
    Coded,
    Voted,
    score_beta_vae,
    score_codes,
    score_factor_vae,
)
from gmmedit.pictures.pixels import from_bytes, to_bytes
from gmmedit.runtime.execution import Execution

Encode = Callable[[Tensor], Tensor]  # images (N, C, H, W) in [-1, 1] to codes (N, J) on the CPU
ENCODED = 256  # images in memory at once
FEWEST_IMAGES, MOST_VALUES = 100, 64


@dataclass(frozen=True)
class Protocol:
    """Numbers of images, of batches of both voting metrics and of images in a batch, and trees of DCI's classifiers.

    pool: how many images to draw from, of those that no training saw; 0: from all images.
    """

    name: str
    train: int
    test: int
    factor_batches: tuple[int, int, int]  # train, test, images
    beta_batches: tuple[int, int, int]  # train, test, pairs
    variance: int
    trees: int = 100
    pool: int = 0


PUBLISHED = Protocol("published", 10_000, 5_000, (10_000, 5_000, 64), (10_000, 5_000, 64), 10_000)
QUICK = Protocol("quick", 2_000, 1_000, (600, 300, 32), (600, 300, 16), 2_000, 40, pool=8_000)
PROTOCOLS = {protocol.name: protocol for protocol in (PUBLISHED, QUICK)}


class Factors:
    """The known factors of a data set: names, and values (N, F) of the chosen rows of the data set (N,)."""

    def __init__(self, data: DataSet, rows: np.ndarray) -> None:
        """InputError: no two factors of 2 to MOST_VALUES values are known, or of too few images."""
        labels = data.labels(rows).numpy()
        sizes = [len(np.unique(column[column >= 0])) for column in labels.T]
        chosen = [i for i, size in enumerate(sizes) if 2 <= size <= MOST_VALUES]
        known = (labels[:, chosen] >= 0).all(1)
        if len(chosen) < 2 or known.sum() < FEWEST_IMAGES:
            message = f"{data.name} has {len(chosen)} factors that are known, of {int(known.sum())} images"
            raise InputError(message, hint="give data with labels of several factors: shapes, or a 3dshapes.h5")
        self.names = [data.attributes[i].name for i in chosen]
        self.rows, self.values = rows[known], labels[known][:, chosen]
        self.places = [np.argsort(column, kind="stable") for column in self.values.T]
        self.sorted = [column[order] for column, order in zip(self.values.T, self.places, strict=True)]

    def draw(self, n: int, random: np.random.Generator) -> np.ndarray:
        """n places among `rows`, with replacement."""
        return random.integers(len(self.rows), size=n)

    def draw_alike(self, factor: int, place: int, n: int, random: np.random.Generator) -> np.ndarray:
        """n places that have the same value of a factor as `place`."""
        start, stop = np.searchsorted(self.sorted[factor], self.values[place, factor] + np.array([0, 1]))
        return self.places[factor][random.integers(start, stop, size=n)]


class Pool:
    """The images that a protocol draws from, by place among `factors.rows`.

    Those of a small pool are read once, for all encoders, and held as bytes.
    """

    def __init__(self, data: DataSet, protocol: Protocol) -> None:
        """InputError: see `Factors`."""
        self.data, self.protocol = data, protocol
        rows = data.held_out()[:: max(1, len(data.held_out()) // protocol.pool)] if protocol.pool else None
        self.factors = Factors(data, np.arange(len(data)) if rows is None else rows[: protocol.pool])
        self.known = np.zeros(len(self.factors.rows), bool)
        channels, height, width = data.image_shape
        size = len(self.known) if protocol.pool else 0
        self.held = np.empty((size, height, width, channels), np.uint8)

    def images(self, places: np.ndarray) -> Tensor:
        """Images (n, C, H, W) of the places (n,)."""
        if not self.protocol.pool:
            return self.data.images(self.factors.rows[places])
        missing = places[~self.known[places]]
        if len(missing):
            self.held[missing] = to_bytes(self.data.images(self.factors.rows[missing]))
            self.known[missing] = True
        return from_bytes(self.held[places])


class Codes:
    """The codes of images by place, each computed once."""

    def __init__(self, encode: Encode, pool: Pool, execution: Execution) -> None:
        self.encode, self.pool, self.factors, self.execution = encode, pool, pool.factors, execution
        self.known = np.zeros(len(self.factors.rows), bool)
        self.table = np.empty((0, 0), np.float32)

    def of(self, places: np.ndarray) -> np.ndarray:
        """The codes (..., J) of places (...). InputError: they are not finite."""
        missing = np.unique(places[~self.known[places]])
        for start in range(0, len(missing), ENCODED):
            self.execution.stop.check()
            part = missing[start : start + ENCODED]
            images = self.pool.images(part)
            found = self.execution.in_batches(lambda rows: (self.encode(rows),), images)[0].float().numpy()
            if not np.isfinite(found).all():
                raise InputError("the encoder gives codes that are not finite", hint="train it again")
            if not self.table.size:
                self.table = np.zeros((len(self.known), found.shape[1]), np.float32)
            self.table[part] = found
            self.known[part] = True
            self.execution.tick(start + len(part), len(missing), "images encoded")
        return self.table[places]


def measure(encode: Encode, pool: Pool, seed: int, execution: Execution) -> dict[str, float]:
    """All metrics of an encoder by name: mig, dci_..., sap, factor_vae, beta_vae. InputError: see `Codes.of`."""
    return measure_all({"": encode}, pool, seed, execution)[""]


def measure_all(
    encoders: Mapping[str, Encode], pool: Pool, seed: int, execution: Execution
) -> dict[str, dict[str, float]]:
    """The metrics of several encoders, see `measure`: each image is read once for all of them."""
    protocol, factors, widths = pool.protocol, pool.factors, dict[str, int]()

    def encode(images: Tensor) -> Tensor:
        found = {name: encode(images) for name, encode in encoders.items()}
        widths.update({name: codes.shape[1] for name, codes in found.items()})
        return torch.cat(list(found.values()), 1)

    codes = Codes(encode, pool, execution)
    random = np.random.default_rng(seed)
    train, test = (draw_coded(codes, n, random) for n in (protocol.train, protocol.test))
    variances = codes.of(factors.draw(protocol.variance, random)).var(0, ddof=1)
    voted = [draw_votes(codes, *numbers, random) for numbers in pairs_of(protocol.factor_batches)]
    shared = [draw_differences(codes, *numbers, random) for numbers in pairs_of(protocol.beta_batches)]
    scores, start = {}, 0
    for name, width in widths.items():
        execution.stop.check()
        own, start = slice(start, start + width), start + width
        scores[name] = dict(score_codes(train.columns(own), test.columns(own), protocol.trees))
        scores[name]["factor_vae"] = score_factor_vae(voted[0].columns(own), voted[1].columns(own), variances[own])
        scores[name]["beta_vae"] = score_beta_vae(shared[0].columns(own), shared[1].columns(own))
    return scores


def pairs_of(batches: tuple[int, int, int]) -> Sequence[tuple[int, int]]:
    """(number, images) of the batches to train and to test."""
    train, test, images = batches
    return (train, images), (test, images)


def draw_coded(codes: Codes, n: int, random: np.random.Generator) -> Coded:
    """Codes and factors of n images."""
    places = codes.factors.draw(n, random)
    return Coded(codes.of(places), codes.factors.values[places])


def draw_votes(codes: Codes, n: int, images: int, random: np.random.Generator) -> Voted:
    """Of n batches that share one factor's value: variances of the codes, and the factor."""
    fixed = random.integers(len(codes.factors.names), size=n)
    places = [
        codes.factors.draw_alike(factor, int(codes.factors.draw(1, random)[0]), images, random) for factor in fixed
    ]
    return Voted(codes.of(np.stack(places)).var(1, ddof=1), fixed)


def draw_differences(codes: Codes, n: int, pairs: int, random: np.random.Generator) -> Voted:
    """Of n batches of pairs that share one factor's value: mean absolute differences of the codes, and the factor."""
    fixed = random.integers(len(codes.factors.names), size=n)
    first = np.stack([codes.factors.draw(pairs, random) for _ in range(n)])
    second = np.stack([
        np.concatenate([codes.factors.draw_alike(factor, int(place), 1, random) for place in places])
        for factor, places in zip(fixed, first, strict=True)
    ])  # fmt: skip
    return Voted(np.abs(codes.of(first) - codes.of(second)).mean(1), fixed)


def describe_protocol(pool: Pool) -> dict[str, Any]:
    """What a table of scores must say beside it."""
    return asdict(pool.protocol) | {"factors": pool.factors.names, "images": len(pool.factors.rows)}
