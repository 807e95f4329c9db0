"""Tables of labels made elsewhere: what they say, by row or by seed, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import small_networks as small
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


def test_texts_in_hdf5_are_those_of_csv(tmp_path: Path) -> None:
    columns = {"row": "0 1 2 3 4 5", "smile": "0.1 nan NA null 0.9 ", "hair": "red black red nan black null"}
    cells = [column.split(" ") for column in columns.values()]
    lines = "".join(",".join(line) + "\n" for line in zip(*cells, strict=True))
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        for name, column in zip(columns, cells, strict=True):
            file[name] = np.array(column, "S")
    plain, stored = (rows(path, 0, 6) for path in (written(tmp_path, ",".join(columns) + "\n" + lines),
                                                   tmp_path / "labels.h5"))  # fmt: skip
    assert plain.isnan().any(1).tolist() == stored.isnan().any(1).tolist() == [False, True, True, True, False, True]
    torch.testing.assert_close(stored[[0, 4]][:, [1, 3]].sort().values, plain[[0, 4]][:, [1, 3]].sort().values)


def test_texts_that_cannot_be_addressed(tmp_path: Path) -> None:
    path = written(tmp_path, "hair\na=b\nc:d\na=b\nc:d\nNA\n")
    body = "{file: 'labels.csv', attributes: {hair: {values: {'a=b': A, 'c:d': B, 'NA': null}}}}"
    refused(path, "a value of 'hair' called 'a=b'", body)
    (tmp_path / "own.yaml").write_text(body)
    assert [attribute.values for attribute in classifiers.load(str(tmp_path / "own.yaml")).attributes] == [("A", "B")]
    assert rows(tmp_path / "own.yaml", 0, 5)[:, 0].isnan().tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("cell", ["inf", "1e999", "-inf"])
def test_infinite_labels_are_named(cell: str, tmp_path: Path) -> None:
    refused(written(tmp_path, f"smile\n0.1\n{cell}\n"), f"line 3, smile: {cell.replace('1e999', 'inf')} is no label")


def test_a_description_names_columns_and_their_meaning(tmp_path: Path) -> None:
    written(tmp_path, "id,score,b,c\n0,-2.5,1,3\n1,2,,3\n")
    body = "activation: sigmoid\nattributes: {smile: {outputs: score}, hair: {values: [x, y], outputs: [c, b]}}\n"
    table = described(tmp_path, "labels.csv", body)
    torch.testing.assert_close(rows(table, 0, 1)[0, :2], torch.tensor([2.5, -2.5]).sigmoid())
    torch.testing.assert_close(rows(table, 0, 1)[0, 2:], torch.tensor([3.0, 1]).softmax(0))
    assert rows(table, 0, 2).isfinite().all(1).tolist() == [True, False], "b has no label for row 1"
    only = described(tmp_path, "labels.csv", body.replace(", hair: {values: [x, y], outputs: [c, b]}", ""))
    assert rows(only, 0, 2).shape == (2, 2), "an unused column may be empty"
    refused(described(tmp_path, "labels.csv", body.replace("outputs: score", "outputs: scores")),
            "smile has no output 'scores'; did you mean 'score'?")  # fmt: skip
    refused(described(tmp_path, "labels.csv", "attributes: {smyle: {}}"), "smyle has no output 'smyle=no'")


def left_out(name: str | Path, n: int, seed: int = 0) -> tuple[int, list[str]]:
    table = classifiers.load(str(name))
    assert isinstance(table, Table)
    return table.left_out(n, seed)


def refused_for(name: str | Path, n: int, seed: int, *says: str) -> None:
    with pytest.raises(InputError) as caught:
        left_out(name, n, seed)
    for phrase in says:
        assert phrase in f"{caught.value.message}; {caught.value.hint}"


def test_a_missing_label_costs_one_row(tmp_path: Path) -> None:
    path = written(tmp_path, "seed,a,b\n10,0.5,0.1\n11,,0.2\n13,0.4,nan\n14,0.1,NA\n15,1,1\n40,0,0\n")
    found = rows(path, 0, 6, seed=10)
    assert found.isnan().any(1).tolist() == found.isnan().all(1).tolist() == [False, True, True, True, True, False]
    missing, (first, second) = left_out(path, 6, seed=10)
    assert missing == 4 and first == (
        "4 of 6 samples have no label and are left out of fits: "
        "1 not in the table (first: seed 12), 3 with an empty cell (first: seed 11)"
    )
    assert second == "1 of 6 lines of labels.csv belong to no sample of this run"
    assert left_out(written(tmp_path, CSV), 3) == (0, [])
    says = "no label for any of the 3 samples, seed 0 to seed 2", "its seeds are 7 to 8"
    refused_for(written(tmp_path, "seed,a\n7,0.5\n8,0.5\n"), 3, 0, *says)
    refused_for(written(tmp_path, CSV), 6, 0, "has 3 lines for 6 samples, and no key column")


@pytest.mark.parametrize(
    ("cells", "says", "way", "wanted"),
    [
        ("-1 1 -1", "these look like CelebA labels (-1 no, 1 yes)", "values: {-1: no, 1: yes}", [0, 1, 0]),
        ("-1 0 1", "these look like CelebA labels (-1 no, 1 yes)", "values: {-1: no, 0: null, 1: yes}", [0, None, 1]),
        ("17 62 40", "a measurement such as age", "threshold: 40", [0, 1, 1]),
        ("17 162 40", "a measurement such as age", "threshold: 40", [0, 1, 1]),
        ("5 20.5 100", "percentages", "scale: 100", [0.05, 0.205, 1]),
        ("0 2 1", "class indices", "values: {0: no, 1: yes, 2: yes}", [0, 1, 1]),
        ("1 2 1", "class indices", "values: {1: no, 2: yes}", [0, 1, 0]),
        ("-2.5 0.5 3", "log-odds, or scores", "threshold: 0", [0, 1, 1]),
    ],
)
def test_numbers_that_are_no_probabilities(
    cells: str, says: str, way: str, wanted: list[float | None], tmp_path: Path
) -> None:
    """They are named for what they may be, and what the hint asks for gives the right labels."""
    text = "".join(f"{seed},{cell}\n" for seed, cell in enumerate(cells.split()))
    path = written(tmp_path, f"seed,x\n{text}")
    refused(path, "not probabilities", says, way.partition(":")[0])
    found = rows(described(tmp_path, "labels.csv", f"attributes: {{a: {{outputs: x, {way}}}}}"), 0, 3)[:, 1]
    torch.testing.assert_close(
        found,
        torch.tensor([np.nan if label is None else label for label in wanted]).float(),
        atol=2e-6,
        rtol=0,
        equal_nan=True,
    )
    if "." not in cells:
        refused(described(tmp_path, "labels.csv", "activation: sigmoid\nattributes: {x: {}}"), "x has whole numbers",
                "not log-odds")  # fmt: skip


def test_probabilities_of_0_and_1_are_no_log_odds(tmp_path: Path) -> None:
    written(tmp_path, "a\n0\n1\n")
    refused(described(tmp_path, "labels.csv", "activation: sigmoid\nattributes: {a: {}}"), "whole numbers from 0 to 1",
            "leave activation: sigmoid out")  # fmt: skip


def test_cells_that_name_values(tmp_path: Path) -> None:
    written(tmp_path, "seed,sex,hat,mood\n0,Male,True,2\n1,female,False,0\n2,?,yes,1\n3,male,No,1.0\n")
    sex = "sex: {values: {female: female, male: male, '?': null}}"
    body = f"attributes: {{{sex}, hat: {{}}, kind: {{outputs: mood, values: {{0: sad, 1: calm, 2: glad}}}}}}"
    table = described(tmp_path, "labels.csv", body)
    assert [attribute.values for attribute in classifiers.load(table).attributes] == [
        ("female", "male"), ("no", "yes"), ("sad", "calm", "glad"),
    ]  # fmt: skip
    found = rows(table, 0, 4)
    assert found[2].isnan().all(), "a cell of no label"
    wanted = torch.tensor([[0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1, 0]]).float()
    torch.testing.assert_close(found[[0, 1, 3]], wanted, atol=3e-6, rtol=0)
    table = described(tmp_path, "labels.csv", body.replace(", '?': null", ""))
    refused(table, "line 4, sex: '?' is not one of female, male", "or ?: null for no label")
    refused(tmp_path / "labels.csv", "line 2, sex: 'Male' is not a number", "map its texts in a YAML file")


def test_a_few_texts_are_values(tmp_path: Path) -> None:
    """As `gmmedit generate` writes them, without a YAML file; what is nearly all different, or mixed, is refused."""
    text = "seed,sex,hat,hair\n0,Male,yes,red\n1,female,no,black\n2,male,yes,\n3,female,no,black\n4,male,no,NA\n"
    path = written(tmp_path, text)
    table = classifiers.load(str(path))
    assert [(a.name, a.values) for a in table.attributes] == [
        ("sex", ("Male", "female")), ("hat", ("no", "yes")), ("hair", ("black", "red")),
    ]  # fmt: skip
    wanted = torch.tensor([[1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]).float()
    torch.testing.assert_close(rows(path, 0, 2), wanted, atol=3e-6, rtol=0)
    missing, notes = left_out(path, 5)
    assert missing == 2 and notes[-1] == "texts of labels.csv read as values: sex: Male, female; hair: black, red"
    for cells in ("a b c d", "a b 0.5 a", "a a a a"):
        path = written(tmp_path, "".join(["seed,x\n", *(f"{i},{cell}\n" for i, cell in enumerate(cells.split()))]))
        refused(path, "line 2, x: 'a' is not a number", "remove the column, or map its texts in a YAML file")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("attributes: {a: {threshold: 1, scale: 2}}", "exclude each other"),
        ("attributes: {a: {threshold: 1, values: [x, y, z]}}", "a threshold is between two values"),
        ("attributes: {a: {threshold: 1, outputs: [a, b]}}", "read one column"),
        ("attributes: {a: {values: {0: no, 1: yes}, scale: 2}}", "values that name cells exclude threshold and scale"),
        ("attributes: {a: {scale: [1, 1]}}", "a scale has two ends"),
        ("attributes: {a: {scale: 0}}", "a scale cannot be 0"),
        ("activation: sigmoid\nattributes: {a: {scale: 100}}", "reads logits"),
        ("attributes: {a: {values: {0: no, 1: no}}}", "at least two values"),
        ("attributes: {a: {values: {0: no, 1: a=b}}}", "cannot be empty or hold = or :"),
        ("activation: sigmoid\nscale: 100", "reads logits"),
        ("first: 1", "needs by: row"),
        ("scale: 0.4", "has values from 0 to 1, outside its scale from 0 to 0.4"),
        ("activation: pairs", "tables have no pairs"),
    ],
)
def test_readings_that_make_no_sense(body: str, says: str, tmp_path: Path) -> None:
    written(tmp_path, "a,b\n0,0\n1,1\n")
    refused(described(tmp_path, "labels.csv", body), says)


def test_what_is_for_tables_is_refused_of_networks(tmp_path: Path) -> None:
    small.script(small.Linear(1), tmp_path / "net.ts")
    (tmp_path / "net.py").write_text("def load():\n    return lambda images: images.flatten(1)[:, :1]\n")
    body = "input: {size: 32}\nactivation: sigmoid\n%s"
    for file in ("net.ts", "net.py:load"):
        for key, way in (
            ("values: {CELL: NAME}", "attributes: {a: {values: {0: no, 1: yes}}}"),
            ("first", "by: row\nfirst: 1\nattributes: {a: {}}"),
        ):
            refused(described(tmp_path, file, body % way), f"is not a table of labels, and {key} is for tables")
        way = "input: {size: 32}\nscale: 100\nattributes: {a: {}}"
        refused(described(tmp_path, file, way), "and scale beside file is for tables")


# Whose labels they are


CELEBA = """3
5_o_Clock_Shadow Smiling
seed0012.png -1  1
seed0010.png  1  1
seed0011.png  1 -1
"""


def test_the_lists_of_celeba_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, CELEBA, "list_attr_celeba.txt")
    assert [a.name for a in classifiers.load(str(path)).attributes] == ["5_o_Clock_Shadow", "Smiling"]
    wanted = torch.tensor([[1, 1], [1, 0], [0, 1]]).float()
    torch.testing.assert_close(rows(path, 0, 3, seed=10)[:, [1, 3]], wanted, atol=2e-6, rtol=0)
    assert left_out(path, 3, seed=10) == (0, [])
    refused(
        written(tmp_path, CELEBA.replace("3", "5", 1), "list_attr_celeba.txt"), "has 3 lines, but its first line says 5"
    )
    path = written(tmp_path, CELEBA.replace("seed00", "0000").replace("12.png", "09.png"), "list.txt")
    refused_for(path, 30, 10, "list.txt: file names may hold rows of samples.h5 or seeds, which start at 10")
    assert left_out(described(tmp_path, "list.txt", "by: seed"), 30, seed=5)[0] == 27
    assert rows(described(tmp_path, "list.txt", "by: row\nfirst: 9"), 0, 3)[:, 1].round().tolist() == [0, 1, 1]


def test_the_list_of_celeba_from_1(tmp_path: Path) -> None:
    path = written(tmp_path, "2\nBald Smiling\n000001.jpg -1 1\n000002.jpg 1 1\n", "list_attr_celeba.txt")
    settings = "{file: list_attr_celeba.txt, by: row, first: 1}"
    refused_for(path, 2, 0, "list_attr_celeba.txt: numbers in file names start at 1", f"beside the table: {settings}")
    assert rows(written(tmp_path, settings, "labels.yaml"), 0, 2)[:, 1].round().tolist() == [0, 1]


@pytest.mark.parametrize("column", ["Seed", "SEED", "seed"])
def test_keys_in_any_case(column: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"{column},smile\n12,0.9\n10,0.1\n11,0.5\n")
    torch.testing.assert_close(rows(path, 0, 3, seed=10)[:, 1], torch.tensor([0.1, 0.5, 0.9]))
    assert [a.name for a in classifiers.load(str(path)).attributes] == ["smile"]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("id", "2 0 1"), ("Image_ID", "2 0 1"), ("", "2 0 1"), ("file name", "image_2.png image_0.png image_1.png"),
        ("what", "a/2.JPG a/0.JPG b/1.JPG"), ("file", "sample_02 sample_00 sample_01"),
    ],
)  # fmt: skip
def test_columns_that_look_like_keys_join(column: str, names: str, tmp_path: Path) -> None:
    lines = [f"{name},{score}\n" for name, score in zip(names.split(), (0.9, 0.1, 0.5), strict=True)]
    path = written(tmp_path, "".join([f"{column},smile\n", *lines]))
    torch.testing.assert_close(rows(path, 0, 3)[:, 1], torch.tensor([0.1, 0.5, 0.9]))
    assert left_out(path, 3) == (0, [f"numbers in {column or 'index'} are read as rows of samples.h5"])
    refused_for(path, 3, 7, "may hold rows of samples.h5 or seeds", "by: seed in a YAML")
    by_seed = described(tmp_path, "labels.csv", "by: seed")
    assert left_out(by_seed, 2, seed=1) == (0, ["1 of 3 lines of labels.csv belong to no sample of this run"])
    torch.testing.assert_close(rows(by_seed, 0, 2, seed=1)[:, 1], torch.tensor([0.5, 0.9]))


def test_keys_that_would_be_a_guess(tmp_path: Path) -> None:
    from_one = written(tmp_path, "id,a\n1,0.1\n2,0.2\n3,0.3\n")
    refused_for(from_one, 3, 0, "numbers in id start at 1", "if 1 is row 0")
    found = rows(described(tmp_path, "labels.csv", "by: row\nfirst: 1"), 0, 3)[:, 1]
    torch.testing.assert_close(found, torch.tensor([0.1, 0.2, 0.3]))
    for text, says in (
        (
            "file,a\nimage_1_00.png,0.1\nimage_2_00.png,0.2\n",
            "line 3, file: 'image_2_00.png' does not match the other names",
        ),
        ("image,a\nanna.png,0.1\nbert.png,0.2\n", "line 2, image: 'anna.png' does not match the other names"),
        ("x,a\nseed1.png,0.1\nrow2.png,0.2\n", "line 3, x: 'row2.png' does not match the other names"),
        ("x,a\na/1.png,0.1\nb/1.png,0.2\n", "line 3, x: 1 occurs a second time"),
    ):
        refused_for(written(tmp_path, text), 2, 0, says)
    written(tmp_path, "seed,a\n1,0.1\n")
    refused(described(tmp_path, "labels.csv", "by: row"), "seed holds the seed, not the row")


def test_the_unread_is_said(tmp_path: Path) -> None:
    path = tmp_path / "labels.h5"
    with h5py.File(path, "w") as file:
        file["seed"], file["smile"], file["notes"] = np.arange(3), np.array([0.2, 0.4, 0.6]), np.zeros((3, 2))
        file["file"] = np.array([b"a.png", b"b.png", b"c.png"])
    assert left_out(path, 3) == (0, ["ignored in labels.h5, as not labels: notes, file"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no columns of equal length"),
        ("smile,age\n", "has no columns of equal length"),
        ("smile\nhappy\n", "line 2, smile: 'happy' is not a number"),
        ("seed;smile\n0;0.08\n", "columns are separated by ;, expected commas"),
        ("seed;smile\n0;0,08\n", "columns are separated by ;, expected commas"),
        ("seed\tsmile\n0\t0.08\n", "columns are separated by tabs, expected commas"),
        ("seed|smile\n0|0.08\n", "columns are separated by |, expected commas"),
        ("seed  smile\n0  0.08\n", "columns are separated by spaces, expected commas"),
        ("big smile\n7\n", "big smile has values from 7 to 7, not probabilities"),
        ("smile,age\n1,0\n\n1\n", "line 4 has 1 cells, its header 2"),
        ("smile,age\n1,0,\n", "line 2 has 3 cells, its header 2"),
        ("smile,smile\n1,0\n", "unnamed columns or two of the same name"),
        ("smile,\n1,0\n", "unnamed columns or two of the same name"),
        ("smile\n0.5\n2\n", "smile has values from 0.5 to 2, not probabilities"),
        ("hair=black\n0.5\n", "hair has one value"),
        ("seed,a\n1,0.5\n7,0.1\n9,0\n7,0.5\n", "line 5, seed: 7 occurs a second time"),
        ("seed,a\n1.5,0.5\n", "line 2, seed: 1.5 is not a whole number"),
        ("seed,a\n0,0.5\nx,1\n", "line 3, seed: x is not a whole number"),
        ("seed,a\n,0.5\n", "line 2, seed: an empty cell is not a whole number"),
        ("seed\n1\n", "has no column of labels"),
    ],
)
def test_tables_that_make_no_sense(tmp_path: Path, text: str, says: str) -> None:
    refused(written(tmp_path, text), "labels.csv", says)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    refused(described(tmp_path, "labels.csv", "by: seed"), "my.yaml: file: ", "labels.csv does not exist")
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


def test_artifacts_are_no_tables(run: Path) -> None:
    for kind in ("samples", "labels", "mixture"):
        refused(run / f"{kind}.h5", f"{kind}.h5 is a gmmedit artifact ({kind}), not a table of labels")


def test_percent_signs(tmp_path: Path) -> None:
    refused(written(tmp_path, "smile\n14%\n"), "'14%' is not a number; remove the %, and write a YAML file")
    written(tmp_path, "smile\n14\n")
    described_by = written(tmp_path, "{file: labels.csv, scale: 100}", "labels.yaml")
    assert rows(described_by, 0, 1)[0, 1].item() == pytest.approx(0.14)


def test_a_table_looks_at_no_picture(tmp_path: Path) -> None:
    table = classifiers.load(str(written(tmp_path, CSV)))
    with pytest.raises(InputError, match="cannot label images") as caught:
        table.probabilities(torch.zeros(1, 3, 8, 8))
    assert caught.value.hint == "use fit-mixture --consistency surrogate or off"


def test_fingerprints(tmp_path: Path) -> None:
    path = written(tmp_path, CSV)
    first = classifiers.load(str(path)).fingerprint
    assert len(first) == 64 and classifiers.load(str(path)).fingerprint == first
    assert classifiers.load(described(tmp_path, "labels.csv", "by: row")).fingerprint != first
    assert classifiers.load(str(written(tmp_path, CSV + "0,0,1\n"))).fingerprint != first
