"""The examples of docs/classifiers.md, word for word, with tiny networks in the files that they name."""

import re
from pathlib import Path

import pytest
import small_networks as small
import torch

from gmmedit import classifiers
from gmmedit.classifiers.table import Table

TEXT = (Path(__file__).parents[1] / "docs" / "classifiers.md").read_text(encoding="utf-8")
YAML = {block.split("\n")[0].split()[1].rstrip(":"): block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S)}
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)
TABLE = re.search(r"```\n(seed,.*?)```", TEXT, re.S)

MEANT = {
    "digits.yaml": {"digit": tuple("0123456789")},
    "faces.yaml": {"smile": ("no", "yes"), "age": ("old", "young"), "hair_color": ("black", "blond", "brown", "grey")},
    "pairs.yaml": {"smile": ("no", "yes"), "gender": ("female", "male")},
    "quantities.yaml": {"age": ("young", "old"), "facing": ("left", "right"), "smile": ("no", "yes")},
    "mine.yaml": {"glasses": ("no", "yes"), "beard": ("no", "yes")},
    "gender.yaml": {"gender": ("female", "male")},
    "prompts.yaml": {"smile": ("no", "yes"), "hair_color": ("black", "blond", "red")},
    "measures.yaml": {
        "smile": ("no", "yes"),
        "age": ("young", "old"),
        "beard": ("no", "yes"),
        "hair_color": ("black", "blond", "brown"),
        "gender": ("female", "male"),
    },
    "scores.yaml": {"smile": ("no", "yes")},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the examples."""
    place = tmp_path_factory.mktemp("docs")
    for name, block in YAML.items():
        (place / name).write_text(block)
    export, factory = PYTHON
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec(export, {"torch": torch, "network": small.Linear(10, channels=1, size=(28, 28))})
    small.script(small.Linear(6, size=(64, 64)), place / "faces.ts")
    small.onnx(small.Linear(4, size=(48, 40)), place / "faces.onnx")
    small.onnx(small.Linear(3, size=(48, 40)), place / "quantities.onnx")
    weights = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2)).state_dict()
    torch.save(weights, place / "weights.pth")
    (place / "my_classifier.py").write_text(factory.replace("/path/to/weights.pth", str(place / "weights.pth")))
    small.vit(place / "vit-gender", ["Female", "Male"])
    small.clip(place / "clip-vit-base-patch32")
    (place / "scores.csv").write_text("seed,smile_score\n0,-1.5\n1,2.5\n")
    (place / "measures.csv").write_text(
        "Seed,Smiling,years,beard_percent,hair,sex\n0,-1,23,0,2,F\n1,1,61,85.5,0,M\n2,1,30,0,9,M\n"
    )
    return place


def test_every_example_is_known() -> None:
    assert YAML.keys() == MEANT.keys() and len(PYTHON) == 2


@pytest.mark.parametrize("name", MEANT)
def test_examples(folder: Path, name: str) -> None:
    classifier = classifiers.load(str(folder / name))
    assert {a.name: a.values for a in classifier.attributes} == MEANT[name]
    if isinstance(classifier, Table):
        logits = classifier.rows(0, 2, 0)
    else:
        channels = 1 if name == "digits.yaml" else 3
        logits = classifier.logits(torch.zeros(16, channels, 70, 70))
    assert logits.shape[1] == sum(len(values) for values in MEANT[name].values()) and logits.isfinite().all()


def test_the_table(tmp_path: Path) -> None:
    assert TABLE is not None
    (tmp_path / "labels.csv").write_text(TABLE[1])
    classifier = classifiers.load(str(tmp_path / "labels.csv"))
    assert [(a.name, a.values) for a in classifier.attributes] == [
        ("smile", ("no", "yes")),
        ("hair_color", ("black", "blond")),
    ]


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(file: .*?)```", text, re.S)
    (tmp_path / "my.yaml").write_text(block)
    small.export(small.Linear(6, size=(224, 224)), tmp_path / "my_network.pt2", size=(224, 224))
    assert [a.name for a in classifiers.load(str(tmp_path / "my.yaml")).attributes] == ["smile", "hair_color"]


def test_the_names_in_the_docs_are_those_that_there_are() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| a name:"))
    assert set(re.findall(r"`([\w-]+)`", row)) == set(classifiers.list_names())
