"""What every artifact holds, as data: the same tables create, validate, print and document the files.

Dims are names, bound to sizes when a file is made. A size is an int, or a tuple where one name stands for
several axes (`w_dim` of a W+ generator is (layers, dims)). An optional field exists exactly where all its
dims have sizes. A field named "group/*" stands for any float or integer arrays below that group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gmmedit.runtime.commands import on_run

Size = int | tuple[int, ...]
Sizes = Mapping[str, Size]
Shape = tuple[int, ...]

DONE = "done"
OPEN_DTYPES = "fiu"


@dataclass(frozen=True)
class Field:
    """One dataset of a kind: `dims` names its axes, `dtype` is NumPy's short name ("f4", "i8", "u1")."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str
    optional: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it stands for all datasets below a group."""
        return self.name.endswith("/*")

    @property
    def stored_dtype(self) -> np.dtype:
        """The dtype in the file, little-endian."""
        return np.dtype(self.dtype).newbyteorder("<")

    def shape(self, sizes: Sizes) -> Shape | None:
        """The shape for these sizes; None if a dim has no size, or the field is an open group."""
        if self.is_open or any(dim not in sizes for dim in self.dims):
            return None
        return tuple(axis for dim in self.dims for axis in as_tuple(sizes[dim]))


@dataclass(frozen=True)
class Kind:
    """One kind of artifact.

    Attributes:
        command: the command that makes it.
        replaced: whether that command replaces a finished file without `--force`.
        rows: the dim that a stage fills in chunks; None: it is written whole.
        own_classifier: whether its classifier is another one than that of its parents.
    """

    name: str
    version: int
    command: str
    summary: str
    rows: str | None
    fields: tuple[Field, ...]
    own_classifier: bool = False
    replaced: bool = False

    def hint(self, run: Path, force: bool = True) -> str:
        """The hint to run the command on a run; `force`: over a finished file."""
        return f"run: {self.command_on(run, force)}"

    def command_on(self, run: Path, force: bool = True) -> str:
        """The command line for a run; `force`: over a finished file."""
        return on_run(f"{self.command} --force" if force and not self.replaced else self.command, run)

    def field(self, name: str) -> Field | None:
        """The field of dataset `name`: that of the exact name, else an open group, else None."""
        exact = (field for field in self.fields if field.name == name)
        groups = (field for field in self.fields if field.is_open and name.startswith(field.name[:-1]))
        return next(exact, None) or next(groups, None)

    def row_axis(self, name: str) -> int | None:
        """The axis of dataset `name` along which rows are filled; None: it has no rows."""
        field = self.field(name)
        return field.dims.index(self.rows) if field and self.rows in field.dims else None

    def layout(self, sizes: Sizes) -> Iterator[tuple[Field, Shape]]:
        """The fields and shapes of a file of these sizes, without open groups.

        ValueError: a size is missing, or (in a kind with rows) no field has such a dim.
        """
        unknown = set(sizes).difference(*(field.dims for field in self.fields))
        if self.rows and unknown:
            raise ValueError(f"{self.name} artifacts have no dim called {', '.join(sorted(unknown))}")
        for field in self.fields:
            shape = field.shape(sizes)
            if shape is not None:
                yield field, shape
            elif not field.optional and not field.is_open:
                raise ValueError(f"/{field.name} needs sizes for {', '.join(field.dims)}")

    def check(self, arrays: Mapping[str, tuple[Shape, np.dtype]], sizes: Sizes) -> dict[str, Size]:
        """Compare shapes and dtypes with the table; returns the sizes, completed from the arrays' shapes.

        ValueError: a dataset is missing or differs. Datasets that are not in the table are ignored.
        """
        bound = dict(sizes)
        for name, (shape, dtype) in arrays.items():
            field = self.field(name)
            if field is None:
                continue
            if not field.is_open:
                _bind(field, shape, bound)
            if not _fits(field, dtype):
                raise ValueError(f"/{name} is {dtype}, {field.dtype} was expected")
        for field, _ in self.layout(bound):
            if field.name not in arrays:
                raise ValueError(f"/{field.name} is missing")
        return bound


def as_tuple(size: Size) -> Shape:
    """The axes that a size stands for."""
    return (size,) if isinstance(size, int) else tuple(size)


def _fits(field: Field, dtype: np.dtype) -> bool:
    return dtype.kind in OPEN_DTYPES if field.is_open else dtype == field.stored_dtype


def _bind(field: Field, shape: Shape, sizes: dict[str, Size]) -> None:
    if field.shape(sizes) is None and len(shape) == len(field.dims):
        for dim, axis in zip(field.dims, shape, strict=True):
            sizes.setdefault(dim, axis)
    if shape != field.shape(sizes):
        raise ValueError(f"/{field.name} has shape {shape}, ({', '.join(field.dims)}) was expected")


IMAGES = ("H", "W", "C")

SAMPLES = Kind(
    name="samples",
    version=2,
    command="gmmedit sample",
    summary="Latents drawn from the prior; row i is `numpy.random.RandomState(seed + i).randn(z_dim)`.",
    rows="N",
    fields=(
        Field("z", ("N", "z_dim"), "f4", "latents, standard normal"),
        Field(
            "w",
            ("N", "w_dim"),
            "f4",
            "mapped latents, truncated with psi; with a cutoff: before truncation",
            optional=True,
        ),
        Field("c", ("N", "n_classes"), "f4", "class conditions, one-hot", optional=True),
        Field("images", ("N", *IMAGES), "u1", "images, RGB, 0 to 255", optional=True),
    ),
)

LABELS = Kind(
    name="labels",
    version=3,
    command="gmmedit label",
    summary="The classifier's output for each sample's image rounded to 8 bits, whether images are stored or not. "
    "`robustness` in the root attribute `extra`: what disturbance the classifier bears, see docs/usage.md.",
    rows="N",
    fields=(
        Field("labels", ("N", "K"), "f4", "probabilities in [0, 1], of one attribute they sum to 1; NaN: no label"),
        Field("logits", ("N", "K"), "f4", "the classifier's scores before softmax or sigmoid"),
        Field(
            "thumbnails",
            ("N", "t_h", "t_w", "C"),
            "u1",
            "images averaged down to at most 16 pixels along the longer side, RGB, 0 to 255; none with a table",
            optional=True,
        ),
    ),
)

FIT_FIELDS = (
    Field("parameters/*", (), "any", "fitted parameters"),
    Field("chart/*", (), "any", "coordinates in which they hold: centre, whitening, ..."),
    Field("history/step", ("T",), "i8", "steps at which the history was recorded"),
    Field("history/*", (), "any", "one array per term of the loss, T values each"),
    Field("report/*", (), "any", "scores of the fit on held-out samples"),
)

SINGLE = Kind(
    name="single",
    version=2,
    command="gmmedit fit-single",
    summary="One Gaussian per category, each fitted alone.",
    rows=None,
    fields=FIT_FIELDS,
)

MIXTURE = Kind(
    name="mixture",
    version=4,
    command="gmmedit fit-mixture",
    summary="The Gaussian mixture of each attribute's subspace, all fitted together. `report/edits`: edits of held-out "
    "samples by the fitted displacement in one pass, at strength 1; NaN: every such sample has the value.",
    rows=None,
    fields=(
        *FIT_FIELDS,
        Field("report/edits/arrived", ("K",), "f4", "share of edits that arrive at each category", optional=True),
        Field("report/edits/kept", ("K",), "f4", "share of the other attributes that keep their value", optional=True),
        Field("report/edits/change", ("K",), "f4", "of the images, in units of two samples", optional=True),
    ),
)

EDITS = Kind(
    name="edits",
    version=3,
    command="gmmedit edit",
    summary="Samples moved along one attribute, at one strength or more.",
    rows="N",
    fields=(
        Field("alphas", ("S",), "f8", "strengths: 0 leaves a sample alone, 1 arrives at the wanted value"),
        Field("index", ("N",), "i8", "row of each edited sample in the samples artifact"),
        Field("strengths", ("S", "N"), "f4", "strength at which each sample was moved: `alphas`, or as solved"),
        Field("latent", ("N", "L", "D"), "f4", "latents before the edit: W+, or z with L = 1"),
        Field("latents", ("S", "N", "L", "D"), "f4", "latents after it"),
        Field("labels_before", ("N", "K"), "f4", "the classifier's probabilities before"),
        Field("labels_after", ("S", "N", "K"), "f4", "the classifier's probabilities after"),
        Field(
            "identity",
            ("S", "N", "E"),
            "f4",
            "cosine of the features with those of the image before, in each of E feature networks (at present one)",
            optional=True,
        ),
        Field("images_before", ("N", *IMAGES), "u1", "images before, RGB, 0 to 255", optional=True),
        Field("images_after", ("S", "N", *IMAGES), "u1", "images after, RGB, 0 to 255", optional=True),
    ),
    replaced=True,
)

INVERSIONS = Kind(
    name="inversions",
    version=1,
    command="gmmedit invert IMAGE",
    summary="Photographs and the latents that generate them; `files` of the config names them in order. "
    "own_inversions.h5 is of the same kind and holds samples of the generator's own, whose errors are the measure.",
    rows="N",
    fields=(
        Field("latents", ("N", "L", "D"), "f4", "latents: W+ (for --space w: L times the same), or z with L = 1"),
        Field("images", ("N", *IMAGES), "u1", "the photographs as they were cut, RGB, 0 to 255"),
        Field("reconstructions", ("N", *IMAGES), "u1", "what the latents generate, RGB, 0 to 255"),
        Field("start_error", ("N",), "f4", "error before the optimisation: of the encoder, or of the best sample"),
        Field("error", ("N",), "f4", "mean absolute difference of the pixels, which are in [-1, 1]"),
        Field("feature_error", ("N",), "f4", "squared distance of the features, that of two samples is 1"),
        Field("density", ("N",), "f4", "mean squared chart coordinate, about 1 for a sample"),
        Field("percentile", ("N",), "f4", "share of own samples with smaller errors; NaN: none were inverted"),
        Field("own_errors", ("R",), "f4", "`error` of own samples, ascending", optional=True),
    ),
)

SCORES = (
    Field(
        "unedited/*",
        (),
        "any",
        "the classifiers' outputs for all n samples: logits (n, K) and nuisances (n, M) of the evaluation classifier, "
        "label_logits (n, K) of the labelling one ((n, 0): a table); of each sample and the next, pair_pixels (n): the "
        "mean absolute difference of the images, pair_identity (n): the cosine of the features; own/CATEGORY: "
        "precision, density, recall, coverage, kid as below, of samples with the value",
    ),
    Field(
        "seen/*",
        (),
        "any",
        "seen/EDITOR/CATEGORY: rows of the edited samples, strengths (S) from 0 on, logits (S, rows, K), nuisances "
        "(S, rows, M), and in features: identity (S, rows), frechet (S), path (rows). Below one/, at strength 1: "
        "strength (), logits, label_logits (rows, K), nuisances (rows, M), pixels (rows): mean absolute change of the "
        "image; in features identity, precision, density (rows), recall, coverage, kid (); of the first u edits, "
        "undone: undone_logits (u, K), undone_pixels (u)",
    ),
    Field("cost/*", (), "any", "cost/EDITOR: seconds and bytes of memory that its fit took, NaN: not measured"),
)

EVALUATION = Kind(
    name="evaluation",
    version=4,
    command="gmmedit evaluate",
    summary="The evaluation classifier's output for our edits; evaluation.jsonl holds the figures computed from it.",
    rows=None,
    fields=(*SCORES, Field("fidelity/*", (), "any", "samples of components: coefficients, labels, hits (K, draws)")),
    own_classifier=True,
)

COMPARISON = Kind(
    name="comparison",
    version=3,
    command="gmmedit compare",
    summary="The same for our editors and the baselines; comparison.jsonl holds the figures.",
    rows=None,
    fields=SCORES,
    own_classifier=True,
)

STRIPS = Kind(
    name="strips",
    version=2,
    command="gmmedit report",
    summary="Edits of samples that were not used in fitting, as the report shows them.",
    rows=None,
    fields=(
        Field("categories", ("N",), "i8", "category that each sample is moved towards"),
        Field("seeds", ("N",), "i8", "seed of its latent"),
        Field("roles", ("N",), "i8", "0: taken in order; 1, 2: the best and the worst edit of the evaluation"),
        Field("strengths", ("N", "S"), "f4", "strengths of its edits; the first is 0"),
        Field("labels", ("N", "S", "K"), "f4", "the labelling classifier's probabilities"),
        Field("images", ("N", "S", *IMAGES), "u1", "images, reduced to at most 128 pixels a side, RGB, 0 to 255"),
    ),
    replaced=True,
)

KINDS = {
    kind.name: kind for kind in (SAMPLES, LABELS, SINGLE, MIXTURE, EDITS, INVERSIONS, EVALUATION, COMPARISON, STRIPS)
}
