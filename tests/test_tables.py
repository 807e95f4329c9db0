"""Tables of labels made elsewhere: what they say, by row or by seed, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from test_classifier_files import described, refused

from gmmedit import classifiers
from gmmedit.classifiers import Attribute
from gmmedit.classifiers.table import Table
from gmmedit.errors import InputError

CSV = "smile,hair=black,hair=red\n0.25,1,0\n0.5,0.5,0.5\n1,0,1\n"


def written(folder: Path, text: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def rows(name: str | Path, start: int, stop: int, seed: int = 0) -> torch.Tensor:
    table = classifiers.load(str(name))
    assert isinstance(table, Table) and not table.differentiable
    return table.from_logits(table.rows(start, stop, seed))


def test_columns_are_attributes_and_values(tmp_path: Path) -> None:
    path = written(tmp_path, CSV)
    assert classifiers.load(str(path)).attributes == [
        Attribute("smile", ("no", "yes")),
        Attribute("hair", ("black", "red")),
    ]
    wanted = torch.tensor([[0.75, 0.25, 1, 0], [0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1]])
    torch.testing.assert_close(rows(path, 0, 3), wanted, atol=2e-6, rtol=0)
    assert torch.equal(rows(path, 1, 3, seed=7), rows(path, 0, 3)[1:]), "by row, whatever the seeds"


def test_rows_of_seeds_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "seed,smile\n12,0.9\n10,0.1\n11,0.5\n99,\n")
    torch.testing.assert_close(rows(path, 0, 3, seed=10)[:, 1], torch.tensor([0.1, 0.5, 0.9]))
    torch.testing.assert_close(rows(path, 1, 2, seed=11)[:, 1], torch.tensor([0.9]))
    path = written(tmp_path, "row,smile\n1,0.9\n0,0.1\n")
    torch.testing.assert_close(rows(path, 0, 2, seed=10)[:, 1], torch.tensor([0.1, 0.9]))


def test_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "labels.h5"
    with h5py.File(path, "w") as file:
        file["seed"] = np.array([5, 4, 3])
        file["smile"] = np.array([0.2, 0.4, 0.6], dtype=np.float32)
        file["glasses"] = np.array([True, False, True])
        file["notes"] = np.zeros((3, 2))
    assert [a.name for a in classifiers.load(str(path)).attributes] == ["glasses", "smile"]
    torch.testing.assert_close(rows(path, 0, 3, seed=3)[:, [1, 3]], torch.tensor([[1, 0.6], [0, 0.4], [1, 0.2]]),
                               atol=2e-6, rtol=0)  # fmt: skip


def test_a_description_names_columns_and_their_meaning(tmp_path: Path) -> None:
    written(tmp_path, "id,score,b,c\n0,-2,1,3\n1,2,,3\n")
    body = "activation: sigmoid\nattributes: {smile: {outputs: score}, hair: {values: [x, y], outputs: [c, b]}}\n"
    table = described(tmp_path, "labels.csv", body)
    torch.testing.assert_close(rows(table, 0, 1)[0, :2], torch.tensor([2.0, -2.0]).sigmoid())
    torch.testing.assert_close(rows(table, 0, 1)[0, 2:], torch.tensor([3.0, 1]).softmax(0))
    refused_rows(table, 0, 2, "b is empty or NaN for row 1")
    only = described(tmp_path, "labels.csv", body.replace(", hair: {values: [x, y], outputs: [c, b]}", ""))
    assert rows(only, 0, 2).shape == (2, 2), "an unused column may be empty"
    refused(described(tmp_path, "labels.csv", body.replace("outputs: score", "outputs: scores")),
            "smile has no output 'scores'; did you mean 'score'?")  # fmt: skip
    refused(described(tmp_path, "labels.csv", "attributes: {smyle: {}}"), "smyle has no output 'smyle=no'")


def refused_rows(name: str | Path, start: int, stop: int, says: str) -> None:
    with pytest.raises(InputError) as caught:
        rows(name, start, stop)
    assert says in caught.value.message and caught.value.hint


def test_rows_that_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path, CSV)
    refused_rows(path, 2, 4, "labels.csv has no row 3")
    refused_rows(path, 2, 6, "labels.csv has no row 3, nor 2 others")
    refused_rows(written(tmp_path, "seed,a\n0,0.5\n7,0.5\n"), 0, 2, "has no seed 1")
    refused_rows(written(tmp_path, "a\n0.5\nnan\n"), 0, 2, "a is empty or NaN for row 1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no columns of equal length"),
        ("smile,age\n", "has no columns of equal length"),
        ("smile\nhappy\n", "line 2, smile: 'happy' is not a number"),
        ("smile,age\n1,0\n\n1\n", "line 4 has 1 cells, its header 2"),
        ("smile,smile\n1,0\n", "columns without a name or of the same"),
        ("smile,\n1,0\n", "columns without a name or of the same"),
        ("smile\n0.5\n2\n", "smile goes from 0.5 to 2, no probabilities; a YAML file with activation: sigmoid"),
        ("hair=black\n0.5\n", "hair has one value"),
        ("seed,a\n1,0.5\n1,0.5\n", "seed needs whole numbers, each once"),
        ("seed,a\n1.5,0.5\n", "seed needs whole numbers, each once"),
        ("seed,a\n,0.5\n", "seed needs whole numbers, each once"),
        ("seed\n1\n", "has no column of labels"),
    ],
)
def test_tables_that_make_no_sense(tmp_path: Path, text: str, says: str) -> None:
    refused(written(tmp_path, text), "labels.csv", says)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    refused(described(tmp_path, "labels.csv", "by: seed"), "there is no classifier file")
    written(tmp_path, CSV)
    refused(described(tmp_path, "labels.csv", "by: seed"), "has no column 'seed'")
    (tmp_path / "labels.csv").write_bytes(b"smile\n\xff\xfe\n")
    refused(tmp_path / "labels.csv", "cannot be read")
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file["smile"] = np.zeros(500)
    whole = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[:700])
    refused(tmp_path / "cut.h5", "cut.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["elsewhere"] = h5py.ExternalLink(str(tmp_path / "whole.h5"), "/smile")
        file["text"] = "hello"
    refused(tmp_path / "link.h5", "has no columns of equal length")


def test_a_table_looks_at_no_picture(tmp_path: Path) -> None:
    table = classifiers.load(str(written(tmp_path, CSV)))
    with pytest.raises(InputError, match="cannot look at pictures") as caught:
        table.probabilities(torch.zeros(1, 3, 8, 8))
    assert caught.value.hint == "fit-mixture --consistency surrogate, or off"


def test_fingerprints(tmp_path: Path) -> None:
    path = written(tmp_path, CSV)
    first = classifiers.load(str(path)).fingerprint
    assert len(first) == 64 and classifiers.load(str(path)).fingerprint == first
    assert classifiers.load(described(tmp_path, "labels.csv", "by: row")).fingerprint != first
    assert classifiers.load(str(written(tmp_path, CSV + "0,0,1\n"))).fingerprint != first
