"""What a GPU computes, on a card that does not exist: no constant of the CPU is mixed in, no step waits for a number.

With autocast also: convolutions are computed in the type that it asks for, and what leaves a network is float32.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_card import CARD, fake_card, onto_card
from small_generators import Conditional, Painter, own
from small_networks import Linear
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils._python_dispatch import TorchDispatchMode

from gmmedit import classifiers, generators
from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.convnet import ConvNet, ConvNetConfig
from gmmedit.classifiers.described import DescribedClassifier
from gmmedit.classifiers.description import Description
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.classifiers.patchnet import PatchNet, PatchNetConfig
from gmmedit.config import SampleSettings
from gmmedit.editors.baselines import unsupervised
from gmmedit.encoders import Encoder
from gmmedit.encoders.bigan import BiGANEncoder
from gmmedit.encoders.convnet import ConvEncoder, EncoderConfig
from gmmedit.encoders.ifcvae import IFcVAEEncoder
from gmmedit.evaluation.metrics import editing, manifolds, realism
from gmmedit.generators.bigan import BiGANGenerator
from gmmedit.generators.custom import adapt_module
from gmmedit.generators.ifcvae import IFcVAEGenerator
from gmmedit.generators.saae import SAAEGenerator
from gmmedit.mixture import Layout, optimisation
from gmmedit.mixture.combination import Combination
from gmmedit.mixture.coordinates import Coordinates, FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.held import all_others_held
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours, PriceWeights
from gmmedit.mixture.objectives import BANDS
from gmmedit.mixture.optimisation import Optimisation
from gmmedit.mixture.writing import Correction
from gmmedit.networks.bigan import BiGAN, BiGANConfig
from gmmedit.networks.ifcvae import IFcVAE, IFcVAEConfig
from gmmedit.networks.saae import SAAE
from gmmedit.networks.saae_parts import SAAEConfig
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.disturbed import Draw, apply
from gmmedit.run.rendering import Renderer, make_thumbnails, shrink_to_compare
from gmmedit.runtime.execution import autocast
from gmmedit.runtime.pieces import within_memory
from gmmedit.spaces import Chart

DATA = Path(__file__).parent / "data"
FILES = ["sg2_c_cond32.pkl", "sg2_d_orig16gray.pkl", "sg3_a_t32.pkl", "sg3_b_r32.pkl", "sefa_stylegan_32.pth",
         "ig_pggan_32.pth", "biggan_deep_64.bin"]  # fmt: skip
LAYOUT, DIM, LAYERS, ROWS, SAMPLES = Layout((2, 3)), 8, 4, 3, 40
ATTRIBUTES = (Attribute("smile", ("no", "yes")), Attribute("hair", ("black", "red", "grey")))
PRECISIONS = [None, torch.bfloat16, torch.float16]
GENERATORS: dict[str, Callable[[], generators.Generator]] = {
    **{name: (lambda name=name: generators.load(str(DATA / name))) for name in FILES},  # type: ignore[misc]
    "BiGAN": lambda: BiGANGenerator(bigan()),
    "IFcVAE-GAN": lambda: IFcVAEGenerator(ifcvae()),
    "SAAE": lambda: SAAEGenerator(saae()),
    "a module": lambda: adapt_module(Painter(), "painter"),
    "a conditional module": lambda: adapt_module(Conditional(), "painter"),
    "a Generator of the user's own": lambda: adapt_module(own(), "own"),
}


def bigan() -> BiGAN:
    config = BiGANConfig(tuple((a.name, a.values) for a in ATTRIBUTES), 16, (8, 8, 8), rest=5, attention=True)
    return BiGAN(config).eval().requires_grad_(False)


def ifcvae() -> IFcVAE:
    config = IFcVAEConfig((("smile", ("no", "yes")),), 4, (3, 16, 16), widths=(8, 8), features=8)
    return IFcVAE(config).eval().requires_grad_(False)


def saae() -> SAAE:
    return SAAE(SAAEConfig("letter", ("a", "b"), (1, 16, 16), style=4, width=8)).eval().requires_grad_(False)


@pytest.fixture
def card() -> Iterator[None]:
    with fake_card():
        yield


class Convolutions(TorchDispatchMode):
    """Notes in which types convolutions are computed inside; those of single channels, which are filters, apart."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()
        self.filters: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket.__name__ == "convolution":
            noted = self.types if args[8] == 1 else self.filters
            noted |= {part.dtype for part in args[:2]}
        return func(*args, **(kwargs or {}))


def on_card(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device=CARD, dtype=dtype)


def check_output(found: Tensor, *shape: int) -> None:
    assert found.device == torch.device(CARD) and found.dtype == torch.float32
    assert tuple(found.shape) == shape


def test_the_card_refuses_what_a_real_one_would(card: None) -> None:
    on, off = on_card(3, 4), torch.empty(3, 4)
    with pytest.raises(RuntimeError, match="found two different devices|at least two devices"):
        on + off
    with pytest.raises(AssertionError, match="an index on cpu of a tensor on cuda:0"):
        on[torch.empty(2, dtype=torch.int64)]
    for wait in (lambda: on.sum().item(), lambda: on[on > 0], lambda: on.argmax(1).tolist()):
        with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
            wait()


# Generators


@pytest.mark.parametrize("precision", PRECISIONS[:2], ids=str)
@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name: str, precision: torch.dtype | None) -> None:
    generator = GENERATORS[name]()
    with fake_card(), torch.autocast("cuda", precision or torch.bfloat16, enabled=precision is not None):
        onto_card(generator)
        assert generator.device == torch.device(CARD)
        c = on_card(ROWS, generator.n_classes) if generator.n_classes else None
        with Convolutions() as convolutions:
            w = generator.map(on_card(ROWS, generator.z_dim), c, psi=0.7)
            layers = None if generator.w_shape is None else w.expand(generator.w_shape[0], *w.shape).movedim(0, 1)
            for latent in (w,) if layers is None else (w, layers, generator.truncate(layers, 0.7, 1)):
                images = generator.synthesize(latent)
                check_output(images.float() if "own" in name else images, ROWS, *generator.image_shape)
    assert convolutions.types <= {precision or torch.float32}
    assert convolutions.filters <= {precision or torch.float32, torch.float32}
    assert convolutions.types or name.startswith("a ")


@pytest.mark.parametrize("noise", ["const", "none", "random"])
def test_settings_of_samples(noise: str) -> None:
    """Class, truncation and noise; latents come from files, on the CPU."""
    generator = generators.load(str(DATA / "sg2_c_cond32.pkl"))
    renderer = Renderer(generator, SampleSettings(gan="x", class_index=1, psi=0.8, cutoff=3, noise=noise, seed=4))
    with fake_card():
        onto_card(generator)
        z = torch.empty(ROWS, generator.z_dim)
        check_output(renderer.generate(z, "z"), ROWS, *generator.image_shape)
        check_output(renderer.generate(renderer.map(z.to(CARD)).cpu(), "w"), ROWS, *generator.image_shape)


# Classifiers, features, encoders


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
@pytest.mark.parametrize("kind", ["convnet", "patchnet", "described"])
def test_classifiers(kind: str, precision: torch.dtype | None) -> None:
    classifier = make_classifier(kind)
    with fake_card(), torch.autocast("cuda", precision or torch.bfloat16, enabled=precision is not None):
        onto_card(classifier) if kind != "described" else describe_on_card(classifier)
        for channels in (1, 3):
            check_output(classifier.logits(on_card(ROWS, channels, 48, 48)).float(), ROWS, 5)
        logits, nuisances, features = classifier.observe(on_card(ROWS, 3, 64, 64))
        check_output(classifier.probabilities(as_shown(on_card(ROWS, 3, 64, 64))).float(), ROWS, 5)
        assert {part.device for part in (logits, nuisances, features)} == {torch.device(CARD)}


def make_classifier(kind: str) -> classifiers.Classifier:
    if kind == "described":
        return described()
    if kind == "patchnet":
        return PatchNet(PatchNetConfig(ATTRIBUTES, ("x",), size=64)).requires_grad_(False)
    return ConvNet(ConvNetConfig(ATTRIBUTES, ("x",), size=32, widths=(4, 8), features=8)).requires_grad_(False)


def described() -> DescribedClassifier:
    """Calibrated, of a network of 32 pixels; colours, resizing and normalisation are converted for it."""
    description = Description.model_validate({
        "file": "x", "activation": "softmax", "accuracy": 0.9,
        "input": {"size": 32, "resize": 36, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
        "attributes": {a.name: {"values": list(a.values)} for a in ATTRIBUTES},
    })  # fmt: skip
    network = Linear(5).eval().requires_grad_(False)
    return DescribedClassifier(OpenedNetwork(network, "f"), description, "x", "cpu")


def describe_on_card(classifier: DescribedClassifier) -> None:
    onto_card(classifier.network.network.forward)
    classifier.calibration.scale, classifier.calibration.shift = (torch.empty(5, dtype=torch.float64) for _ in range(2))


def make_chart(dim: int, device: str = CARD) -> Chart:
    return Chart(*(torch.empty(shape, device=device) for shape in ((), (dim,), (dim, dim), (dim,))))


@pytest.mark.parametrize("precision", PRECISIONS[1:], ids=str)
def test_encoders(precision: torch.dtype | None) -> None:
    config = EncoderConfig("g", "w", (3, 32, 32), LAYERS, DIM, DIM, widths=(4, 8), features=8)
    with fake_card():
        chart = make_chart(DIM)
        encoder = onto_card(ConvEncoder(config, make_chart(DIM, "cpu")).requires_grad_(False))
        with torch.autocast("cuda", precision or torch.bfloat16, enabled=precision is not None):
            check_output(encoder.encode(on_card(ROWS, 3, 32, 32)), ROWS, LAYERS, DIM)
        check_output(chart.carry(on_card(ROWS, LAYERS, DIM), on_card(ROWS, LAYERS, DIM)), ROWS, LAYERS, DIM)


@pytest.mark.parametrize("precision", PRECISIONS[:2], ids=str)
@pytest.mark.parametrize("make", [lambda: BiGANEncoder(bigan()), lambda: IFcVAEEncoder(ifcvae())])
def test_encoders_of_trained_systems(make: Callable[[], Encoder], precision: torch.dtype | None) -> None:
    encoder = make()
    with fake_card(), torch.autocast("cuda", precision or torch.bfloat16, enabled=precision is not None):
        check_output(onto_card(encoder).encode(on_card(ROWS, 3, 16, 16)), ROWS, *encoder.latent_shape)


# From latents to labels, as fits and edits ask for them


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("home", ["cpu", CARD])
def test_scores(home: str, precision: str) -> None:
    """Of fits, whose latents are on the CPU, and of edits, whose latents are on the card."""
    classifier = described()
    generator = generators.load(str(DATA / "sg2_c_cond32.pkl"))
    with fake_card():
        onto_card(generator), describe_on_card(classifier)
        renderer = Renderer(generator, SampleSettings(gan="x", class_index=1))
        layers, dim = generator.w_shape
        x = torch.empty(ROWS, layers, dim, device=home)
        score = within_memory(renderer.make_score("w", make_chart(dim, home), classifier, precision, (1 / 32, 0.1)))
        logits, images = score(x)
        assert logits.shape == (ROWS, 5) and images.shape == (ROWS, 3, 32, 32)
        assert {part.device for part in (logits, images)} == {torch.device(home)}
        assert {part.dtype for part in (logits, images)} == {torch.float32}
        draw = Draw(1, 0, on_card(3, 32, 32), torch.empty(0))
        check_output(apply(on_card(ROWS, 3, 32, 32), draw, 1 / 32, 0.1), ROWS, 3, 32, 32)
        with autocast(precision, CARD):
            thumbnails = make_thumbnails(as_shown(renderer.generate(x, "w")))
        assert thumbnails.dtype == torch.uint8 and thumbnails.device == torch.device(CARD)


# The mixture


def make_model(full: bool = False) -> AttributeMixture:
    coordinates = FullSpace(DIM, LAYOUT.values) if full else Coordinates(DIM, LAYOUT, hidden=6)
    layout = coordinates.layout
    correction = None if full else Correction(DIM, layout, LAYERS, hidden=6)
    combination = Combination(DIM, layout, LAYERS, hidden=6)
    model = AttributeMixture(coordinates, Gaussians(layout, tied=not full), correction, combination)
    return model.requires_grad_(False)


@pytest.mark.parametrize("full", [False, True])
def test_reads_and_writes(full: bool) -> None:
    with fake_card():
        model = onto_card(make_model(full))
        x = on_card(ROWS, DIM)
        y = model.coordinates(x)
        check_output(model.responsibilities(x), ROWS, 5)
        check_output(model.gaussians.likelihood(y, "peak"), ROWS, 5)
        category = on_card(ROWS, dtype=torch.int64)
        coupled = model.gaussians.control(y, 1, "coupled")
        change = torch.cat([coupled, model.gaussians.control(y, 3, "sample", torch.Generator())], 1)
        check_output(change, ROWS, y.shape[1])
        check_output(model.gaussians.control(y, 4, "mean", away=True), ROWS, model.layout.ranks[1])
        check_output(model.write(x, y, change, category), ROWS, 1 if full else LAYERS, DIM)


def make_neighbours(device: str = CARD) -> Neighbours:
    x, y = torch.empty(SAMPLES, DIM, device=device), torch.empty(SAMPLES, LAYOUT.width, device=device)
    logits = torch.empty(SAMPLES, LAYOUT.categories, device=device)
    thumbnails = torch.empty(SAMPLES, 3, 8, 8, dtype=torch.uint8, device=device)
    return Neighbours(x, y, logits, thumbnails, 0.3, LAYOUT, all_others_held(2).to(device))


@pytest.mark.parametrize("goals", [(), (2,)], ids=["one target", "two"])
@pytest.mark.parametrize("layers", [1, LAYERS])
def test_edits_are_found_on_the_card(
    card: None, layers: int, goals: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the steps of Adam, which need gradients, and the medians that are measured once."""
    monkeypatch.setattr(Neighbours, "certain", property(lambda self: self.logits.new_empty(5)))

    def score(x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        assert x.device == torch.device(CARD)
        return on_card(len(x), 5), on_card(len(x), 3, 16, 16)

    combination = Combination(DIM, LAYOUT, LAYERS, hidden=6).requires_grad_(False) if layers > 1 else None
    found = Optimisation(score, make_neighbours("cpu"), torch.empty(BANDS), PriceWeights(), 0, combination)
    combination = combination and onto_card(combination)
    there = replace(found, neighbours=make_neighbours(), contrast=on_card(BANDS), combination=combination)
    category = torch.empty(ROWS, *goals, dtype=torch.int64)
    x, y = torch.empty(ROWS, layers, DIM), torch.empty(ROWS, LAYOUT.width)
    if combination:
        offset = there.find_offsets(x, category, y, y, x)
        assert offset.device == torch.device("cpu") and offset.shape == x.shape
    monkeypatch.setattr(optimisation, "take_steps", lambda price, place, *_: place())
    offset = replace(there, steps=4).find_offsets(x, category, y, y, x[:, :1])
    assert offset.device == torch.device("cpu") and offset.shape == x.shape
    assert found.neighbours.to(torch.device(CARD)).held.device == torch.device(CARD)


def test_editors_of_styles(card: None) -> None:
    """SeFa reads the weights of a generator on the card, and latents of the CPU."""
    styles = [(layer, on_card(6, DIM), layer == 3) for layer in range(4)]
    latents, logits = torch.empty(SAMPLES, DIM), torch.empty(SAMPLES, 5)
    rows = unsupervised.factorise_styles(styles).to(latents)
    assert rows.device == torch.device("cpu") and rows.shape == (DIM, DIM)
    coordinates = unsupervised.standardise(latents @ rows.T)
    assert coordinates.device == logits.device


def test_metrics(card: None) -> None:
    features = on_card(SAMPLES, 8)
    edited = on_card(4, ROWS, 8)
    check_output(realism.identity(edited[0], edited), 4, ROWS)
    check_output(realism.path_length(edited, on_card(4)), ROWS)
    check_output(realism.covariance_factor(features), 8, 8)
    for measure in (manifolds.precision, manifolds.recall, manifolds.density, manifolds.coverage):
        assert measure(on_card(10, 8), features).device == torch.device(CARD)
    columns, logits = LAYOUT.columns, on_card(4, ROWS, 5)
    check_output(editing.flipped(logits, columns, 1, 2), 4, ROWS)
    check_output(shrink_to_compare(on_card(ROWS, 3, 128, 64)), ROWS, 3, 64, 32)
