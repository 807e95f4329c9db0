"""Networks whose outputs are quantities, such as years or degrees: `threshold` and `scale` in YAML."""

from pathlib import Path

import pytest
import torch

from gmmedit import classifiers
from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.columns import Columns, Regressed, assign_in_order
from gmmedit.errors import InputError

NETWORK = """
import torch

def load():
    def measure(pixels):
        light = pixels.mean((1, 2, 3))
        return torch.stack([100 * light, light, (1 - light) / 2, (1 - light) / 2], 1)
    return measure
"""
AGE = "age: {%sthreshold: 40, scale: 8, values: [young, old]}"
LIGHT = "light: {%svalues: [light, dark, black]}"


def measuring(folder: Path, body: str) -> str:
    """A description of a network with four outputs: 100 times the mean pixel, and three probabilities."""
    (folder / "net.py").write_text(NETWORK)
    (folder / "my.yaml").write_text(f"file: net.py:load\ninput: {{size: 4}}\n{body}")
    return str(folder / "my.yaml")


def test_a_quantity_beside_probabilities() -> None:
    columns = Columns(((2,), (0, 1)), "probabilities", 3, {0: Regressed(40.0, 5.0)})
    outputs = torch.tensor([[0.25, 0.75, 40.0], [0.5, 0.5, 45.0], [1.0, 0.0, -20.0]])
    found = columns(outputs)
    torch.testing.assert_close(found[:, 1] - found[:, 0], torch.tensor([0.0, 1.0, -12.0]))
    torch.testing.assert_close(found[:, 2:].softmax(1), outputs[:, :2], atol=2e-6, rtol=0)
    assert torch.equal(columns.activated(outputs), outputs[:, :2])
    smile, hair = Attribute("smile", ("no", "yes")), Attribute("hair", ("black", "red", "grey"))
    assert assign_in_order([smile, hair], "softmax", {"smile"}).chosen == ((0,), (1, 2, 3))


@pytest.mark.parametrize(
    "body",
    [
        f"attributes: {{{AGE % ''}, {LIGHT % ''}}}",
        f"outputs: [years, a, b, c]\nattributes: {{{LIGHT % 'outputs: [a, b, c], '}, {AGE % 'outputs: years, '}}}",
    ],
)
def test_a_regressed_output_beside_others(body: str, tmp_path: Path) -> None:
    classifier = classifiers.load(measuring(tmp_path, f"activation: probabilities\n{body}"))
    names = [attribute.name for attribute in classifier.attributes]
    start, other = (0, 2) if names[0] == "age" else (3, 0)
    light = torch.linspace(0, 1, 16)
    images = (2 * light - 1)[:, None, None, None].expand(-1, 3, 4, 4).clone().requires_grad_()
    labels = classifier.probabilities(images)
    torch.testing.assert_close(labels[:, start + 1], ((100 * light - 40) / 8).sigmoid())
    torch.testing.assert_close(labels[:, other], light, atol=2e-6, rtol=0)
    assert classifier.attributes[names.index("age")].values == ("young", "old")
    assert classifier.differentiable and torch.autograd.grad(labels[:, start + 1].sum(), images)[0].abs().max() > 0


def test_a_network_of_quantities_alone_needs_no_activation(tmp_path: Path) -> None:
    body = "attributes: {age: {threshold: 40, scale: 5}, b: {scale: -0.1}, c: {threshold: 0.25}, d: {scale: 0.5}}"
    classifier = classifiers.load(measuring(tmp_path, body))
    found = classifier.logits(torch.zeros(16, 3, 4, 4))[0, 1::2] * 2
    torch.testing.assert_close(found, torch.tensor([2.0, -5.0, 0.0, 0.5]))
    other = classifiers.load(measuring(tmp_path, body.replace("scale: 5}", "scale: 6}")))
    assert other.fingerprint != classifier.fingerprint


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("attributes: {a: {threshold: 1, scale: 0}}", "attributes.a: a scale cannot be 0"),
        ("attributes: {a: {threshold: 1, values: [x, y, z]}}", "attributes.a: a threshold is between two values"),
        ("attributes: {a: {scale: 2, values: [x, y, z]}}", "a has 3 values, and a scale of an output is between two"),
        ("attributes: {a: {scale: [5, 9]}}", "the scale of a has two ends"),
        ("attributes: {a: {threshold: .inf}}", "attributes.a.threshold"),
        ("attributes: {a: {threshold: high}}", "attributes.a.threshold"),
        ("attributes: {a: {threshold: 1, outputs: [x, y]}}", "read one column"),
        ("activation: pairs\nattributes: {a: {threshold: 1}, b: {}}", "pairs are logits, but a has a threshold"),
        ("outputs: [x, y, no, yes]\nattributes: {a: {scale: 2}}", "a has a threshold or a scale, and several outputs"),
        (
            "attributes: {a: {scale: 1}, b: {scale: 1}}",
            "outputs of shape (2, 4), its description has 2 columns",
        ),
        ("attributes: {a: {scale: 1}, b: {}}", "does not say what its outputs are"),
        ("activation: probabilities\nattributes: {a: {}, b: {scale: 1}, c: {}, d: {}}", "not probabilities"),
    ],
)
def test_thresholds_and_scales_that_make_no_sense(body: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        classifiers.load(measuring(tmp_path, body))
    assert says in told.value.message and told.value.hint
