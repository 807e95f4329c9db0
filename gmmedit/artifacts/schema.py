"""What every kind of artifact holds, as data; `kinds.py` says how the tables are read."""

from gmmedit.artifacts.kinds import Field, Kind

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
    options="--classifier NAME",
    summary="The classifier's output for each sample's image rounded to 8 bits, whether images are stored or not. "
    "With the parent `inversions` (`label --inverted`), rows are its photographs, and a table labels them. "
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

GRAPH = Kind(
    name="graph",
    version=1,
    command="gmmedit graph",
    summary="Which of A attributes causes which. Rows are causes, columns effects. `mechanisms/I`: P(value | parents) "
    "of attribute I, an axis for each parent in ascending order, the last for the value; `confusion/I`: P(label | true "
    "value) of its labels; `weights/edges` (A, A): the method's own, of gae and dagma.",
    rows=None,
    fields=(
        Field("marks", ("A", "A"), "u1", "0: no edge; 1: row causes column; 2, both ways: which way is not known"),
        Field("required", ("A", "A"), "u1", "1: the user says that row causes column"),
        Field("forbidden", ("A", "A"), "u1", "1: the user says that it does not"),
        Field("frequency", ("A", "A"), "f8", "share of random halves of the labels with an edge; NaN: not measured"),
        Field("direction", ("A", "A"), "f8", "share of them in which it is directed from row to column"),
        Field("association", ("A", "A"), "f8", "Cramer's V of the labels, in [0, 1]"),
        Field("weights/*", (), "any", "see above"),
        Field("mechanisms/*", (), "any", "see above"),
        Field("confusion/*", (), "any", "see above; none for true labels"),
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
        Field("labels_before", ("N", "K"), "f4", "the classifier's probabilities before", optional=True),
        Field("labels_after", ("S", "N", "K"), "f4", "the same after; none of a run without mixture.h5", optional=True),
        Field(
            "identity",
            ("S", "N", "E"),
            "f4",
            "cosine of the features with those of the image before, in each of E feature networks (at present one)",
            optional=True,
        ),
        Field(
            "targets",
            ("S", "N", "A"),
            "i8",
            "of edits with --do: the value of each attribute that follows",
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

DIRECTIONS = Kind(
    name="directions",
    version=1,
    command="gmmedit discover",
    summary="Directions that were found without labels, the one that changes images most first, and the encoder that "
    "reads them; `encoder` in the root attribute `extra` is its shape.",
    rows=None,
    fields=(
        Field("directions", ("k", "X"), "f4", "orthonormal rows, in chart coordinates"),
        Field("scale", ("k",), "f4", "length of one step: what a direction changes moves by one standard deviation"),
        Field("origin", ("X",), "f4", "mean of the samples, in chart coordinates"),
        Field("dominant", ("k",), "i8", "the code dimension that each direction changes most"),
        Field("change", ("k",), "f4", "mean absolute change of the pixels by one standard deviation of the prior"),
        Field("affinity", ("k", "K"), "f4", "correlation of the coordinate with each category's score", optional=True),
        Field("chart/*", (), "any", "coordinates in which they hold: centre, whitening, ..."),
        Field("encoder/*", (), "any", "weights of the encoder, from images to codes (N, J)"),
        Field(
            "kind/*",
            (),
            "any",
            "of the generator's images: kind/mean (C, h, w), at most 16 pixels long, and kind/deviation ()",
        ),
        Field("candidates/*", (), "any", "candidates/directions (k, X): of the latent-shift reconstructor"),
        Field("basis/*", (), "any", "basis/rows (X, X) and basis/values (X): of the semantic decomposition"),
        Field("history/*", (), "any", "steps and losses of the encoder, T values each"),
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
        "undone: undone_logits (u, K), undone_pixels (u); in the mode do, predicted (rows, K): what causes let expect",
    ),
    Field(
        "cost/*",
        (),
        "any",
        "cost/EDITOR: seconds and bytes of memory that its fit took, NaN: not measured; differs between equal runs",
    ),
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

DO_EVALUATION = Kind(
    name="do_evaluation",
    version=1,
    command="gmmedit evaluate --mode do",
    summary="The same for do-edits: what follows from an edit may change too; do_evaluation.jsonl holds the figures.",
    rows=None,
    fields=SCORES,
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

INVERTED_EVALUATION = Kind(
    name="inverted_evaluation",
    version=1,
    command="gmmedit evaluate --inverted",
    summary="Edits of photographs at strength 1: outputs of the evaluation classifier, and features beside those of "
    "the photograph; inverted_evaluation.jsonl holds the figures. NaN: the photograph has the value already.",
    rows="N",
    fields=(
        Field("photograph_logits", ("N", "K"), "f4", "of the photographs as they were cut"),
        Field("logits", ("N", "K"), "f4", "of the reconstructions"),
        Field("identity", ("N",), "f4", "cosine of the features of reconstruction and photograph; NaN: no features"),
        Field("edited_logits", ("N", "K", "K"), "f4", "of the edits towards each category: (photograph, category, :)"),
        Field("edited_identity", ("N", "K"), "f4", "cosine of the features of edit and photograph"),
        Field(
            "edited_pixels",
            ("N", "K"),
            "f4",
            "mean absolute difference from the photograph; of edits that are not pasted, from the reconstruction",
        ),
    ),
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

IN_ORDER = (
    SAMPLES,
    LABELS,
    SINGLE,
    MIXTURE,
    GRAPH,
    EDITS,
    INVERSIONS,
    DIRECTIONS,
    EVALUATION,
    DO_EVALUATION,
    COMPARISON,
    INVERTED_EVALUATION,
    STRIPS,
)
KINDS = {kind.name: kind for kind in IN_ORDER}
