"""What an edit asks for: the small language of --attr, --alphas, --index and --seeds."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmedit.editing.request import Aim, Request
from gmmedit.errors import InputError

ATTRIBUTES = [("smile", ["no", "yes"]), ("hair_color", ["black", "blond", "red"]), ("age", ["young", "old"])]


@pytest.mark.parametrize(
    ("text", "attribute", "value", "strength"),
    [
        ("smile", "smile", None, None),
        ("smile:0.6", "smile", None, 0.6),
        ("smile=0.6", "smile", None, 0.6),
        ("glasses:-1", "glasses", None, -1.0),
        ("hair_color=blond", "hair_color", "blond", None),
        ("hair_color=blond:1.5", "hair_color", "blond", 1.5),
        (" smile = yes : 2 ", "smile", "yes", 2.0),
    ],
)
def test_aims(text: str, attribute: str, value: str | None, strength: float | None) -> None:
    assert Aim.parse(text) == Aim(attribute, value, strength)


def test_a_number_is_a_strength_unless_a_value_is_called_so() -> None:
    digits = [("digit", ["0", "1", "7"]), ("smile", ["no", "yes"])]
    assert Aim.parse("digit = 7", digits) == Aim("digit", "7", None)
    assert Aim.parse("digit=7:0.5", digits) == Aim("digit", "7", 0.5)
    assert Aim.parse("digit=8", digits) == Aim("digit", None, 8)
    assert Aim.parse("smile=1", digits) == Aim("smile", None, 1)
    request = Request.parse(["digit=7"], alpha=0.5, attributes=digits)
    assert request.alphas == (0.5,) and request.aims == (Aim("digit", "7", 1),)
    assert Aim.parse(str(request.aims[0]), digits).category(digits) == 2


@pytest.mark.parametrize("text", ["", "=", ":", "smile:", "smile=", "=yes", "a=b=c", "a:1:2", "smile:abc", "smile:nan"])
def test_what_is_no_aim(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Aim.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "column"),
    [("smile", 1), ("smile=no", 0), ("hair_color=black", 2), ("hair_color=red", 4), ("age", 6), ("age=young", 5)],
)
def test_columns(text: str, column: int) -> None:
    assert Aim.parse(text).category(ATTRIBUTES) == column


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("smiel", "unknown attribute 'smiel'", "did you mean 'smile'? there are: smile, hair_color, age"),
        ("xyz", "unknown attribute 'xyz'", "there are: smile, hair_color, age"),
        ("smile=yess", "smile has no value 'yess'", "did you mean 'yes'? there are: no, yes"),
        ("hair_color=blon", "hair_color has no value 'blon'", "did you mean 'blond'?"),
        ("hair_color", "hair_color has 3 values", "hair_color=black, hair_color=blond, hair_color=red"),
    ],
)
def test_aims_at_nothing(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        Aim.parse(text).category(ATTRIBUTES)
    assert caught.value.message == message and hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("0:1:0.5", (0, 0.5, 1)),
        ("0:1:0.1", (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)),
        ("-1:1:1", (-1, 0, 1)),
        ("1:0:-0.5", (1, 0.5, 0)),
        ("0:1:0.4", (0, 0.4, 0.8)),
        ("0:1:0.6", (0, 0.6)),
        ("2:2:1", (2,)),
        ("0,0.5,2", (0, 0.5, 2)),
        ("0.7", (0.7,)),
    ],
)
def test_strengths(text: str, grid: tuple[float, ...]) -> None:
    assert Request.parse(["smile"], alphas=text).alphas == grid


@given(st.integers(-30, 30), st.integers(0, 60), st.integers(1, 20))
def test_a_grid_never_passes_its_end(first: int, length: int, step: int) -> None:
    grid = Request.parse(["smile"], alphas=f"{first / 10}:{(first + length) / 10}:{step / 10}").alphas
    assert len(grid) == length // step + 1
    assert grid == tuple(round((first + i * step) / 10, 10) for i in range(len(grid)))


NOT_STRENGTHS = ["", "0:1", "0:1:0", "0:1:-1", "1:0:1", "a:b:c", "0:1:0.1:2", "0,x", "0,", "0:nan:1", "0:inf:1"]
TOO_MANY = ["0:1:0.0001", "0:1e308:1e-308", ",".join(["1"] * 300)]


@pytest.mark.parametrize("text", NOT_STRENGTHS + TOO_MANY)
def test_what_are_no_strengths(text: str) -> None:
    with pytest.raises(InputError, match="--alphas") as caught:
        Request.parse(["smile"], alphas=text)
    assert caught.value.hint and len(caught.value.message) < 200


def test_rows_and_seeds() -> None:
    assert Request.parse(["smile"]).rows == tuple(range(8))
    assert Request.parse(["smile"], index="3,10-12, 1").rows == (3, 10, 11, 12, 1)
    seeds = Request.parse(["smile"], seeds="85")
    assert (seeds.source, seeds.rows) == ("seeds", (85,))
    latents = Request.parse(["smile"], latents=Path("w.npz"))
    assert (latents.source, latents.rows, latents.latents) == ("latents", (), Path("w.npz"))


@pytest.mark.parametrize("source", ["index", "seeds"])
def test_an_image_is_edited_once(source: str) -> None:
    for text in ("3,3", "0-7,20,5", "1-4,4-6"):
        with pytest.raises(InputError, match=f"--{source} '{text}' lists [345] twice") as caught:
            Request.parse(["smile"], **{source: text})
        assert caught.value.hint


@pytest.mark.parametrize("attr", ["smile:-1", "smile=no:-0.5", "smile:0"])
def test_a_target_that_the_first_attribute_does_not_move_towards(attr: str) -> None:
    with pytest.raises(InputError, match=f"--target 0.9: --attr {attr} moves away from") as caught:
        Request.parse([attr, "age"], target=0.9)
    assert "--attr smile=VALUE" in caught.value.hint
    assert Request.parse(["age", attr], target=0.9).target == 0.9


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "5-3", "1.5", "1,,2", "0-99999999", "9" * 30, "4294967296"])
@pytest.mark.parametrize("source", ["index", "seeds"])
def test_what_are_no_rows(source: str, text: str) -> None:
    with pytest.raises(InputError, match=f"--{source}") as caught:
        Request.parse(["smile"], **{source: text})
    assert caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 1.0, "alphas": "0:1:0.5"},
        {"alpha": 0.0, "target": 0.9},
        {"alphas": "0:1:0.5", "target": 0.9},
        {"index": "0", "seeds": "1"},
        {"seeds": "1", "latents": Path("w.npz")},
    ],
)
def test_options_that_cannot_be_combined(options: dict) -> None:
    with pytest.raises(InputError, match="cannot be combined") as caught:
        Request.parse(["smile"], **options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"alpha": float("nan")}, "--alpha nan"),
        ({"alpha": float("inf")}, "--alpha inf"),
        ({"target": 0.0}, "--target 0"),
        ({"target": 1.0}, "--target 1"),
        ({"target": float("nan")}, "--target nan"),
    ],
)
def test_numbers_out_of_range(options: dict, phrase: str) -> None:
    with pytest.raises(InputError, match=phrase) as caught:
        Request.parse(["smile"], **options)
    assert caught.value.hint


def test_nothing_to_edit() -> None:
    with pytest.raises(InputError, match="nothing to edit") as caught:
        Request.parse([])
    assert "--attr" in caught.value.hint


def scaled(*attr: str, alpha: float | None = None, alphas: str | None = None) -> list[tuple[str, float]]:
    """What each attribute is moved by in the last column."""
    request = Request.parse(list(attr), alpha=alpha, alphas=alphas)
    return [(str(aim), (aim.strength or 0.0) * request.alphas[-1]) for aim in request.aims]


def test_own_strengths_go_with_alpha() -> None:
    assert scaled("smile") == [("smile", 1.0)]
    assert scaled("smile", alpha=0.6) == [("smile", 0.6)]
    assert scaled("smile:0.5", "age") == [("smile", 0.5), ("age", 1.0)]
    assert scaled("smile:0.5", "age", alpha=2) == [("smile", 0.5), ("age", 2.0)]  # alpha: for those without one
    assert scaled("smile:0.5", "age", alphas="0:2:1") == [("smile", 1.0), ("age", 2.0)]  # alphas scale all


def test_titles_say_what_is_edited() -> None:
    assert Request.parse(["smile", "hair_color=blond:0.5"]).title() == "smile, hair_color=blond:0.5"
    both, apart = (replace(Request.parse(["smile", "age=old"], each=each), do=True) for each in (False, True))
    assert (both.title(), apart.title()) == ("do(smile, age=old)", "do(smile), do(age=old)")


def test_an_attribute_given_twice() -> None:
    with pytest.raises(InputError, match="--attr smile is given twice"):
        Request.parse(["smile", "age", "smile=no"])
    assert len(Request.parse(["smile", "smile=no"], each=True).aims) == 2


@pytest.mark.parametrize("more", [{"alpha": 1e39}, {"alphas": "0:1e308:1e307"}, {"alpha": -1001.0}])
def test_strengths_beyond_any_picture(more: dict) -> None:
    with pytest.raises(InputError, match="is not between"):
        Request.parse(["smile"], **more)


def test_a_number_of_many_digits() -> None:
    with pytest.raises(InputError, match="is not a list of numbers"):
        Request.parse(["smile"], index="1" * 5000)


@pytest.mark.parametrize(
    ("attr", "options", "headings"),
    [
        (["glasses:-1"], {}, ["glasses:-1"]),
        (["hair_color=blond"], {}, ["alpha 1"]),
        (["smile"], {"alpha": 0.6}, ["alpha 0.6"]),
        (["smile:0.6", "age:-1"], {}, ["alpha 1"]),
        (["smile:0.6"], {"alphas": "0,1"}, ["alpha 0", "alpha 1"]),
        (["smile:0.6"], {"target": 0.9}, ["target 0.9"]),
    ],
)
def test_columns_are_headed_by_what_was_asked_for(attr: list[str], options: dict, headings: list[str]) -> None:
    assert Request.parse(attr, **options).headings() == headings
