"""Where a table gave the labels, and no network is named: an evaluation classifier fitted to the labelled images.

A regression of the table's labels on features of the images, so that an edit is judged by what is seen. It knows
nothing of the subspaces by which edits are made, but learns from the same labels.
"""

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import classifiers, generators
from gmmedit.classifiers import Attribute, Classifier
from gmmedit.features import Embedder, load_embedder
from gmmedit.mixture import Layout
from gmmedit.mixture.lbfgs import minimise
from gmmedit.pictures.pixels import as_shown, from_bytes
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.hold_out import count_fitted, labelled_rows, labels_photographs, name_of_rows, read_rows
from gmmedit.run.rendering import shrink

MOST, MOST_HELD = 2_000, 500  # labelled rows that are fitted, and held out
SIDE = 32  # pixels of the images whose levels are the features where there is no network
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the coefficients, for features of squared norm 1
TENTH = 10  # of the fitted rows, one in so many chooses the ridge
STEPS = 100  # of LBFGS


class LabelRegression(Classifier):
    """The labels of a run's table, read from features of images: softmax regressions with a ridge.

    Attributes:
        fingerprint: of the table.
        reader: SHA-256 over all that it follows from, known before it is fitted.
    """

    converts = True
    differentiable = False

    def __init__(self, run: RunFolder, held_out: float, features: Embedder | None) -> None:
        """A regression that is to be fitted. features: None: those of `find_features`, else pixels."""
        super().__init__()
        labels = run.labels
        self.attributes = [Attribute(name, tuple(values)) for name, values in labels.attributes]
        self.features = features or find_features(run)
        channels, *size = run.image_shape
        self.channels, self.input_size = (channels,), (size[0], size[1])
        self.fingerprint = (labels.spec.classifier or {})["fingerprint"]
        network = self.features.fingerprint if self.features else f"pixels {SIDE}"
        parts = labels.fingerprint, network, repr((held_out, MOST, RIDGES, STEPS))
        self.reader = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        self.layout, self.what = layout_of(labels), name_of_rows(labels)
        self.mean = self.scale = self.weights = self.bias = torch.empty(0)

    def fit(self, run: RunFolder, held_out: float) -> str:
        """Fit to the labelled rows that fits use; a note on what it is and how often held-out labels are read.

        InputError: inversions.h5, whose photographs are labelled, is missing or another one.
        """
        rows = labelled_rows(run.labels)
        count = count_fitted(len(rows), held_out)
        fitted, held = rows[:count][:MOST], rows[count:][:MOST_HELD]
        (x, labels), (held_x, held_labels) = (self.read(run, part) for part in (fitted, held))
        self.mean, deviation = x.mean(0), x.std(0).clamp_min(1e-6)
        self.scale = deviation * x.shape[1] ** 0.5
        x = (x - self.mean) / self.scale
        self.weights, self.bias = choose_regression(x.double(), labels.double(), self.layout)
        found = (held_x - self.mean) / self.scale @ self.weights + self.bias
        right = [
            f"{attribute.name} {float((found[:, c].argmax(1) == held_labels[:, c].argmax(1)).double().mean()):.2f}"
            for attribute, c in zip(self.attributes, self.layout.columns, strict=True)
        ]
        self.mean, self.scale, self.weights, self.bias = (
            part.to(run.execution.device) for part in (self.mean, self.scale, self.weights, self.bias)
        )
        source = "features" if self.features else "pixels"
        return (
            f"no network labels the edits: a regression of the table's labels on {source} of {len(fitted)} {self.what} "
            f"does, right for {', '.join(right)} of {len(held)} others; --classifier names a network"
        )

    def read(self, run: RunFolder, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Features (M, F) and labels (M, K) of rows of labels.h5; photographs are there twice, as generated too."""
        labels, device = read_rows(run.labels, "labels", rows), run.execution.device
        if labels_photographs(run.labels):
            inversions = run.artifact("inversions")
            parts = [from_bytes(inversions[name][rows]) for name in ("images", "reconstructions")]
            (x,) = run.execution.in_batches(lambda part: (self.embed(part.to(device)),), torch.cat(parts))
            return x.cpu(), labels.repeat(2, 1)
        space = run.renderer.space.name
        latents = read_rows(run.samples, space, rows)
        (x,) = run.execution.in_batches(
            lambda part: (self.embed(as_shown(run.renderer.generate(part, space))),), latents
        )
        return x.cpu(), labels

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, F) of images (N, C, H, W) in [-1, 1], float32."""
        if self.features is not None:
            return self.features.features(images).float()
        return shrink(images.float(), SIDE).flatten(1)

    def observe(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Classifier.observe`; pixels are no features of identity."""
        features = self.embed(images)
        with torch.autocast(images.device.type, enabled=False):  # small differences of labels count
            logits = (features.float() - self.mean) / self.scale @ self.weights + self.bias
        return logits, logits.new_empty(len(logits), 0), features[:, : None if self.features else 0]

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`."""
        return self.observe(images)[0]


def find_features(run: RunFolder) -> Embedder | None:
    """The evaluation network that comes with the run's generator; None: none comes with it."""
    entry = generators.CATALOGUE.get(run.sample_settings.gan)
    if entry is None or entry.classifier is None:
        return None
    return load_embedder(classifiers.evaluation_classifier(entry.classifier), run.execution.device, trusted=False)


def choose_regression(x: Tensor, labels: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Coefficients (F, K) and biases (K,), float32, of the ridge with the least cross-entropy on rows left out."""
    apart = torch.arange(len(x)) % TENTH == 0
    losses = []
    for ridge in RIDGES:
        weights, bias = fit_regression(x[~apart], labels[~apart], layout, ridge)
        losses.append(float(cross_entropy(x[apart] @ weights + bias, labels[apart], layout)))
    weights, bias = fit_regression(x, labels, layout, RIDGES[int(np.argmin(losses))])
    return weights.float(), bias.float()


def fit_regression(x: Tensor, labels: Tensor, layout: Layout, ridge: float) -> tuple[Tensor, Tensor]:
    """Coefficients (F, K) and biases (K,) of the least cross-entropy of labels (N, K), given x (N, F), with a ridge."""
    weights, bias = x.new_zeros(x.shape[1], labels.shape[1]), x.new_zeros(labels.shape[1])

    def loss() -> Tensor:
        return cross_entropy(x @ weights + bias, labels, layout) + ridge / 2 * weights.square().sum()

    minimise([weights.requires_grad_(), bias.requires_grad_()], loss, STEPS)
    return weights.detach(), bias.detach()


def cross_entropy(logits: Tensor, labels: Tensor, layout: Layout) -> Tensor:
    """The sum over the attributes of the mean cross-entropy () of labels (N, K)."""
    losses = [F.cross_entropy(logits[:, c], labels[:, c]) for c in layout.columns]
    return torch.stack(losses).sum()
