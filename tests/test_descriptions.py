"""The YAML of a classifier, and its parts: preprocessing, outputs to logits, calibration."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.calibration import Calibration, Goal
from gmmedit.classifiers.columns import Columns, assign_by_name, assign_in_order
from gmmedit.classifiers.described import choose_columns, make_calibration
from gmmedit.classifiers.description import Description, read_description
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.classifiers.preprocessing import Preprocessing, convert_channels, crop_centre, describe_conversion
from gmmedit.errors import InputError

SMILE, HAIR = Attribute("smile", ("no", "yes")), Attribute("hair", ("black", "red", "grey"))


def read(path: Path) -> Description:
    return read_description(path, Description)


def written(folder: Path, text: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(text)
    return path


# The file


def test_a_whole_description(tmp_path: Path) -> None:
    text = """
    file: net.pt2
    input: {size: 224, resize: 256, interpolation: bicubic, colors: bgr, range: [0, 255], mean: [1, 2, 3], std: 2}
    """
    it = read(written(tmp_path, text.replace("std: 2", "std: [2]")))
    assert it.input is not None
    assert it.input.preprocessing() == Preprocessing(
        (224, 224), 256, "bicubic", "bgr", (0.0, 255.0), (1.0, 2.0, 3.0), (2.0,)
    )


def test_yes_and_no_are_words_and_yes_comes_last(tmp_path: Path) -> None:
    text = "file: m\nprompts:\n  smile: {yes: smiling, no: [neutral, sad]}\n  lamp: {on: a, off: b}\n"
    assert read(written(tmp_path, text)).stated() == [SMILE, Attribute("lamp", ("on", "off"))]
    text = "file: m\nprompts: {digit: {0: zero, 1: one}}\nrates: {digit: {0: 0.5, 1: 0.5}}\n"
    assert read(written(tmp_path, text)).stated() == [Attribute("digit", ("0", "1"))]
    text = "file: m\nattributes:\n  smile: {}\n  digit: {values: [0, 1, 2]}\n"
    assert read(written(tmp_path, text)).stated() == [SMILE, Attribute("digit", ("0", "1", "2"))]


CONFIGS = Path(__file__).parents[1] / "configs" / "classifiers"
FACES = ["smile", "gender", "bangs", "age", "glasses", "beard", "hair_color"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_descriptions(path: Path) -> None:
    it = read(path)
    attributes = it.stated()
    assert [a.name for a in attributes] == FACES
    assert attributes[-1].values[:4] == ("black", "blond", "brown", "grey")
    calibration = make_calibration(it, attributes, path.name)
    if it.prompts:
        assert calibration is not None and all(goal.accuracy for goal in calibration.goals)
    else:
        network = OpenedNetwork(lambda x: x, "", None)
        columns = choose_columns(network, it, attributes, path.name)
        assert columns.n == 40 and [it.outputs[place] for (place,) in columns.chosen[:1]] == ["Smiling"]


def test_where_a_file_lies_changes_nothing_and_all_else_does(tmp_path: Path) -> None:
    texts = ["file: a\ntemplates: x {}", "file: b\ntemplates: x {}", "file: a\ntemplates: y {}"]
    first, moved, other = (read(written(tmp_path, text)).record() for text in texts)
    assert first == moved != other


OLDEST = (  # what the first versions hashed
    '{"input":{"size":[3,3],"resize":null,"interpolation":"bilinear","colors":"rgb","range":[0.0,1.0],"mean":[0.0],'
    '"std":[1.0]},"activation":null,"outputs":null,"attributes":{"smile":{"values":["no","yes"],"outputs":null}},'
    '"prompts":null,"templates":["a photo of {}"],"accuracy":null,"rates":{},"by":null}'
)


def test_no_added_key_changes_the_fingerprint_of_a_description_without_it(tmp_path: Path) -> None:
    assert read(written(tmp_path, "file: a\ninput: {size: 3}\nattributes: {smile: {}}")).record() == OLDEST


def test_keys_of_tables_leave_older_fingerprints_alone(tmp_path: Path) -> None:
    old = read(written(tmp_path, "file: a\nattributes: {smile: {}, age: {values: [old, young]}}")).record()
    assert not [key for key in ("threshold", "scale", "first") if key in old]
    for text in ("attributes: {smile: {threshold: 0}}", "scale: 100", "by: row\nfirst: 0"):
        assert read(written(tmp_path, f"file: a\n{text}")).record() != old


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file: a\nimput: {size: 3}", "imput: unknown key; did you mean 'input'? there are: file, input"),
        ("file: a\ninput: {sise: 3}", "input.sise: unknown key; did you mean 'size'?"),
        (
            "file: a\nattributes: {smile: {value: [a, b]}}",
            "smile.value: unknown key; did you mean 'values'?",
        ),
        ("file: a\ninput: {size: 0}", "input.size"),
        ("file: a\ninput: {size: [1, 2, 3]}", "input.size"),
        ("file: a\ninput: {size: 8, mean: [1, 2]}", "one number, or one for each of three colours"),
        ("file: a\ninput: {size: 8, std: [0]}", "input.std.0"),
        ("file: a\ninput: {size: 8, colors: hsv}", "'rgb'"),
        ("file: a\nactivation: relu", "'sigmoid'"),
        ("file: a\nattributes: {}", "there is no attribute in it"),
        ("file: a\nattributes: {smile: {values: [yes]}}", "at least two values"),
        ("file: a\nattributes: {smile: {values: [yes, yes]}}", "all different"),
        ("file: a\nattributes: {'a:b': {}}", "cannot be empty or hold = or :"),
        ("file: a\nprompts: {smile: {'': a, b=c: d}}", "cannot be empty or hold = or :"),
        (
            "file: a\nprompts: {smile: {yes: [a smile]}}",
            "smile needs prompts for at least two values, e.g. no: and yes:",
        ),
        ("file: a\nprompts: {smile: {yes: [], no: [a]}}", "every value needs a text"),
        ("file: a\nprompts: {smile: {yes: a, no: b}}\ntemplates: [a photo]", "every template needs a {}"),
        ("file: a\nprompts: {smile: {yes: a, no: b}}\nattributes: {age: {}}", "exclude each other"),
        ("file: a\nprompts: {smile: {yes: a, no: b}}\nactivation: softmax", "neither outputs nor an activation"),
        ("file: a\noutputs: [a, a]", "outputs need different names"),
        ("file: a\nactivation: pairs\nattributes: {hair: {values: [a, b, c]}}", "of two values"),
        ("file: a\naccuracy: 1.5", "accuracy"),
        ("file: a\nrates: {smile: {yes: 0}}", "rates.smile.yes"),
        ("attributes: {smile: {}}", "does not name the classifier's file"),
        ("file", "does not name the classifier's file"),
        ("file: [", "is not valid YAML"),
        ("file: a\nattributes: {smile: {}, age: {}, smile: {}}", "is not valid YAML: 'smile' is given twice"),
        ("file: !!python/object/apply:os.system [true]", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read(path)
    line = f"{caught.value.message}; {caught.value.hint}"
    assert says in line and str(path) in line and "\n" not in line and caught.value.hint


def test_descriptions_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x89PNG\xff")
    for name, says in (
        ("gone.yaml", "there is no classifier file"),
        ("binary.yaml", "cannot read"),
        ("", "cannot read"),
    ):
        with pytest.raises(InputError, match=says):
            read(tmp_path / name)


# Preprocessing


def test_range_mean_and_colours() -> None:
    images = torch.tensor([-1.0, 0.0, 1.0])[None, :, None, None].expand(2, 3, 4, 4)
    plain = Preprocessing((4, 4))
    assert torch.equal(plain(images)[0, :, 0, 0], torch.tensor([0, 0.5, 1]))
    caffe = Preprocessing((4, 4), colors="bgr", range=(0, 255), mean=(100, 50, 0), std=(1, 1, 2))
    torch.testing.assert_close(caffe(images)[0, :, 0, 0], torch.tensor([155, 77.5, 0]))
    grey = Preprocessing((4, 4), colors="grey", mean=(0.5,), std=(0.5,))
    assert grey(images).shape == (2, 1, 4, 4)
    torch.testing.assert_close(grey(images)[0, 0, 0, 0], torch.tensor(2 * (0.587 * 0.5 + 0.114) - 1))
    assert torch.equal(grey(images[:, :1]), images[:, :1])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(grey(images), grey(images.float())) and grey(images.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("takes", [(1,), (3,)])
def test_images_of_other_channels_are_converted(takes: tuple[int]) -> None:
    """Grey is repeated, colours become luma as Pillow's do, alpha is composited over white; gradients pass."""
    rgba = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rgba[0, 3], rgba[1, 3] = 1, -1  # opaque, transparent
    mode = "L" if takes == (1,) else "RGB"
    for have in (1, 2, 3, 4):
        images = rgba[:, 4 - have :] if have in (2, 4) else rgba[:, :have]
        found = convert_channels(images, takes)
        assert found.shape == (2, takes[0], 5, 6)
        told = describe_conversion(have, takes)
        assert bool(told) == (have != takes[0]) and ("alpha" in told) == (have in (2, 4))
        if have in (2, 4):
            assert torch.equal(found[1], torch.ones(*takes, 5, 6)), "nothing is seen but the white behind it"
            images = images[:, :-1]
        pixels = ((images[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        wanted = np.array(Image.fromarray(pixels.squeeze(-1) if have <= 2 else pixels).convert(mode), np.float32)
        assert np.abs(found[0].permute(1, 2, 0).numpy().squeeze() - (wanted / 127.5 - 1)).max() < 1.5 / 127.5
    half = torch.zeros(1, 4, 2, 2).requires_grad_(True)
    convert_channels(half, takes).sum().backward()
    assert half.grad is not None and half.grad.abs().amin() > 0
    with pytest.raises(InputError, match="the network takes images of 4 channels, these have 3"):
        describe_conversion(3, (4,))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "edge"), [((24, 24), None), ((20, 30), None), ((24, 24), 30)])
def test_pixels_are_those_of_pillow(interpolation: str, size: tuple[int, int], edge: int | None) -> None:
    noise = np.random.RandomState(0).rand(8, 12, 3)
    smooth = Image.fromarray((noise * 255).astype(np.uint8)).resize((60, 40), Image.Resampling.BICUBIC)
    wanted = smooth
    filter_ = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    if edge:
        wanted = smooth.resize((45, edge), filter_)  # its shorter edge
        left, top = (45 - size[1]) // 2, (edge - size[0]) // 2
        wanted = wanted.crop((left, top, left + size[1], top + size[0]))
    else:
        wanted = smooth.resize(size[::-1], filter_)
    images = torch.from_numpy(np.array(smooth)).permute(2, 0, 1)[None] / 127.5 - 1
    pixels = Preprocessing(size, edge, interpolation, range=(0, 255))(images)  # type: ignore[arg-type]
    difference = (pixels[0].permute(1, 2, 0) - torch.from_numpy(np.array(wanted))).abs()
    assert difference.max() < 2.5 and difference.mean() < 0.5  # Pillow rounds to bytes


def test_a_crop_that_is_larger_than_the_picture_is_padded_with_black() -> None:
    found = crop_centre(torch.ones(1, 1, 2, 6), (5, 4))
    assert found.shape == (1, 1, 5, 4)
    assert found[0, 0, :, 0].tolist() == [-1, -1, 1, 1, -1] and found[0, 0, 2].tolist() == [1] * 4


# Outputs to logits


def labels(columns: Columns, outputs: list[float]) -> list[list[float]]:
    logits = columns(torch.tensor([outputs]))
    sizes = [2 if len(chosen) == 1 else len(chosen) for chosen in columns.chosen]
    assert all(abs(part.sum()) < 1e-5 for part in logits.split(sizes, 1))
    return [part.softmax(1)[0].tolist() for part in logits.split(sizes, 1)]


def softmax(*logits: float) -> list[float]:
    return torch.tensor([float(logit) for logit in logits]).softmax(0).tolist()


def test_consecutive_columns() -> None:
    sigmoid, soft = (assign_in_order([SMILE, HAIR], kind) for kind in ("sigmoid", "softmax"))
    assert (sigmoid.n, soft.n) == (4, 5)
    smile, hair = labels(sigmoid, [1.5, 1, 2, 3])
    assert smile == pytest.approx(softmax(0, 1.5)) and hair == pytest.approx(softmax(1, 2, 3))
    smile, hair = labels(soft, [1.5, 0, 1, 2, 3])
    assert smile == pytest.approx(softmax(1.5, 0)) and hair == pytest.approx(softmax(1, 2, 3))
    smile, hair = labels(assign_in_order([SMILE, HAIR], "probabilities"), [0.7, 0.2, 0.3, 0.5])
    assert smile == pytest.approx([0.3, 0.7]) and hair == pytest.approx([0.2, 0.3, 0.5])
    assert labels(assign_in_order([SMILE], "probabilities"), [1.0])[0] == pytest.approx([0, 1], abs=2e-6)


def test_columns_by_name() -> None:
    names = ["Black_Hair", "Smiling", "Red_Hair", "Grey_Hair", "Hat"]
    outputs = {"smile": ("Smiling",), "hair": ("Black_Hair", "Red_Hair", "Grey_Hair")}
    columns = assign_by_name([SMILE, HAIR], outputs, names, "sigmoid", "here")
    assert columns == Columns(((1,), (0, 2, 3)), "sigmoid", 5)
    smile, hair = labels(columns, [1, 1.5, 2, 3, 9])
    assert smile == pytest.approx(softmax(0, 1.5)) and hair == pytest.approx(softmax(1, 2, 3))
    pairs = assign_by_name([SMILE], {"smile": ("Smiling",)}, names, "pairs", "here")
    assert pairs == Columns(((2, 3),), "pairs", 10)
    # Without a word, an attribute takes the output of its own name, or those of its values.
    assert assign_by_name([HAIR, SMILE], {}, ["red", "grey", "black", "smile"], "softmax", "").chosen == (
        (2, 0, 1),
        (3,),
    )


def test_several_sigmoids_are_read_as_one_value_that_holds() -> None:
    logits = torch.tensor([0.3, -1.0, 2.0])
    on, off = logits.sigmoid(), 1 - logits.sigmoid()
    alone = torch.stack([on[i] * off[[j for j in range(3) if j != i]].prod() for i in range(3)])
    columns = assign_in_order([HAIR], "sigmoid")
    assert labels(columns, logits.tolist())[0] == pytest.approx((alone / alone.sum()).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ({"smile": ("smiling",)}, "smile has no output 'smiling'"),
        ({"hair": ("black", "red")}, "hair has 3 values and 2 outputs"),
        ({"smile": ("black", "red", "grey")}, "smile has 2 values and 3 outputs"),
    ],
)
def test_columns_that_do_not_fit(outputs: dict[str, tuple[str, ...]], says: str) -> None:
    with pytest.raises(InputError, match=f"my.yaml: {says}") as caught:
        assign_by_name([SMILE, HAIR], outputs, ["Smiling", "black", "red", "grey", "smile"], "sigmoid", "my.yaml")
    assert caught.value.hint


# Calibration


def sample(n: int = 1500) -> tuple[torch.Tensor, torch.Tensor]:
    """Calibrated logits (n, 5) of SMILE and HAIR, and true values (n, 2) drawn from their own labels."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, 5, generator=generator) + torch.tensor([0.0, -2, 1, 0, -1])
    parts = logits.split([2, 3], 1)
    truth = [torch.multinomial(part.softmax(1), 1, generator=generator) for part in parts]
    return torch.cat([part - part.mean(1, keepdim=True) for part in parts], 1), torch.cat(truth, 1)


@pytest.mark.parametrize(("unit", "zero"), [(1, 0), (0.05, -3), (20, 3)])
def test_calibration_undoes_any_unit_and_zero(unit: float, zero: float) -> None:
    logits, truth = sample()
    moved = logits * unit + zero * torch.tensor([1.0, -1, 0.5, 0.5, -1])
    goals = []
    for column, (part, n) in enumerate(zip(logits.split([2, 3], 1), (2, 3), strict=True)):
        rates = truth[:, column].bincount(minlength=n) / len(truth)
        accuracy = (part.argmax(1) == truth[:, column]).float().mean()
        goals.append(Goal(n, float(accuracy), tuple(rates.tolist())))
    calibration = Calibration(goals)
    calibration.fit(moved)
    found = calibration(moved)
    for part, wanted, goal in zip(found.split([2, 3], 1), logits.split([2, 3], 1), goals, strict=True):
        assert part.softmax(1).mean(0).tolist() == pytest.approx(goal.rates, abs=5e-3)
        assert float(part.softmax(1).amax(1).mean()) == pytest.approx(goal.accuracy, abs=2e-3)
        assert (part.softmax(1) - wanted.softmax(1)).abs().mean() < 0.03


def test_what_is_unknown_stays_as_it_is() -> None:
    logits, _ = sample()
    calibration = Calibration([Goal(2, None, None), Goal(3, 0.9, None)])
    assert torch.equal(calibration(logits), logits), "the identity until it is fitted"
    calibration.fit(logits)
    found = calibration(logits)
    assert torch.equal(found[:, :2], logits[:, :2])
    scale = (found[:, 2:] / logits[:, 2:]).mean()
    torch.testing.assert_close(found[:, 2:], scale * logits[:, 2:])
    assert float(found[:, 2:].softmax(1).amax(1).mean()) == pytest.approx(0.9, abs=1e-3)
    shifted = Calibration([Goal(2, None, (0.3, 0.7)), Goal(3, None, None)])
    shifted.fit(logits)
    assert (shifted(logits) - logits)[:, 0].std() < 1e-5 and shifted.scale.tolist() == [1] * 5
    assert float(shifted(logits)[:, :2].softmax(1)[:, 1].mean()) == pytest.approx(0.7, abs=1e-4)


def test_a_calibration_is_restored_to_the_last_bit() -> None:
    logits, _ = sample()
    goals = [Goal(2, 0.8, (0.5, 0.5)), Goal(3, 0.9, None)]
    first, second = Calibration(goals), Calibration(goals)
    first.fit(logits)
    second.load(first.state())
    assert torch.equal(first(logits), second(logits)) and first.state() == second.state()


def test_labels_that_say_nothing_are_not_blown_up_without_end() -> None:
    calibration = Calibration([Goal(2, 0.9, None)])
    calibration.fit(torch.zeros(50, 2))
    assert calibration.scale.max() <= 101 and torch.isfinite(calibration.shift).all()
