"""The report: one page that needs nothing but itself, from whatever artifacts there are."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from conftest import done, gmmedit, untouched
from PIL import Image
from small_run import PLAIN, write_run
from test_bad_input import check
from test_pipeline import Stopped

from gmmedit import artifacts, config
from gmmedit.editors.base import Editor
from gmmedit.errors import InputError
from gmmedit.pictures.charts import Axis, Line, render_chart
from gmmedit.pictures.markup import Html, element, embed_images, format_signed, heat_map, join
from gmmedit.pictures.page import render_document
from gmmedit.report import strips
from gmmedit.report.examples import BEST, WORST, Example, examples_of
from gmmedit.runtime.execution import Execution
from gmmedit.stages import evaluate, report

HOSTILE = [
    ("<script>alert(1)</script>", ["</style><img src=x onerror=alert(1)>", "\"' onload='alert(1)"]),
    ("a&b", ["&lt;b&gt;", "javascript:alert(1)"]),
    ("https://example.com/x.png", ["]]>", "<!--", "url(https://example.com)"]),
]
SECTIONS = ["verdict", "edits", "extremes", "evaluation", "comparison", "labels", "fits", "run", "reproduce"]
PLAIN_TAGS = {
    "a", "b", "body", "caption", "circle", "code", "details", "div", "fieldset", "figcaption", "figure", "footer", "g",
    "h1", "h2", "h3", "h4", "head", "header", "html", "img", "input", "label", "legend", "li", "main", "meta", "nav",
    "p", "path", "pre", "section", "span", "strong", "style", "summary", "svg", "table", "tbody", "td", "text", "th",
    "thead", "title", "tr", "ul",
}  # fmt: skip
VOID = {"img", "input", "meta"}


class Page(HTMLParser):
    """What a page is made of. AssertionError: tags are not closed in the order in which they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self.open[-1:] == ["style"] else self.texts).append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def check_page(text: str) -> Page:
    """Nothing is loaded from elsewhere, nothing runs, every picture opens, every link leads somewhere."""
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= PLAIN_TAGS
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("srcset", "action", "xlink:href")]
        assert "url(" not in (attrs.get("style") or "") and ("src" in attrs) == (tag == "img")
        assert "href" not in attrs or (attrs["href"] or " ")[1:] in ids
    assert all(attrs["for"] in ids for attrs in page.of("label"))
    assert not re.search(r"url\(|@import|https?:|expression", "".join(page.styles))
    for image in page.of("img"):
        kind, _, data = (image["src"] or "").partition(",")
        assert kind == "data:image/webp;base64" and image["alt"]
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as opened:
            opened.load()
            assert [str(side) for side in opened.size] == [image["width"], image["height"]]
    policy = next(it["content"] for it in page.of("meta") if it.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    for drawing in page.of("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden")
    return page


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("report") / "run")


def test_a_whole_run_has_every_section_and_is_made_from_artifacts_alone(whole: Path, tmp_path: Path) -> None:
    with untouched(whole):
        out = tmp_path / "deep" / "page.html"
        assert done("report", "--run", whole, "--out", out).stdout == f"wrote {out}\n"
        page = check_page(out.read_text(encoding="utf-8"))
        again, lacks = report.run(shutil.copytree(whole, tmp_path / "elsewhere"), Execution())
    assert lacks == [] and again.read_bytes() == out.read_bytes(), "the folder's name is no part of the page"
    assert [attrs["id"] for attrs in page.of("section")] == SECTIONS
    for name, values in PLAIN:
        for value in values:
            assert page.texts.count(f"{name}={value}") >= 5, "strip, curve, labels, figures, comparison"
    columns = sum(len(values) for _, values in PLAIN)
    with artifacts.open(whole / "evaluation.h5") as evaluation:
        examples = examples_of(evaluation)
    assert len(page.of("img")) == (3 + 2) * columns + len(examples) and len(page.of("input")) == 4 * columns
    for phrase in ("a note on pictures", "a note on evaluation", "a note on comparison", "95 % intervals", "converged"):
        assert phrase in page.text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", HOSTILE)
    path, _ = report.run(folder, Execution())
    page = check_page(path.read_text(encoding="utf-8"))
    for name, values in HOSTILE:
        for value in values:
            assert page.texts.count(f"{name}={value}") >= 5
    assert "alert(1)" not in "".join(page.styles)


def test_what_is_missing_is_told(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for kind, phrase in (
        ("comparison", "comparison.h5 does not exist; run: gmmedit compare"),
        ("evaluation", "evaluation.h5 does not exist; run: gmmedit evaluate"),
        ("mixture", "mixture.h5 does not exist; run: gmmedit fit-mixture"),
        ("labels", "labels.h5 does not exist; run: gmmedit label"),
        ("single", "single.h5 does not exist; run: gmmedit fit-single"),
    ):
        (folder / f"{kind}.h5").unlink()
        result = done("report", "--run", folder)
        page = check_page((folder / "report.html").read_text(encoding="utf-8"))
        assert f"note: {phrase} --run {folder}\n" in result.stdout, "as it works where it is pasted"
        assert phrase in page.text and str(folder) not in page.text
        assert [attrs["id"] for attrs in page.of("section")] == SECTIONS
    (folder / "samples.h5").unlink()
    check(gmmedit("report", "--run", folder), "holds no artifact", "gmmedit sample")


def test_what_is_damaged_is_told_whatever_the_damage(whole: Path, tmp_path: Path) -> None:
    """Wrong numbers, which only the checksums tell, count as a structure that cannot be read does."""
    folder = shutil.copytree(whole, tmp_path / "run")
    for kind, command in (("evaluation", "evaluate"), ("mixture", "fit-mixture"), ("labels", "label")):
        path = folder / f"{kind}.h5"
        with artifacts.open(path) as artifact:
            name = artifact.names[0]
        with h5py.File(path, "r+") as file:
            file[name][(0,) * file[name].ndim] += 1
        text = done("report", "--run", folder).stdout
        assert f"note: {kind}.h5 is damaged: the checksum of" in text and f"run: gmmedit {command} --force" in text
        check_page((folder / "report.html").read_text(encoding="utf-8"))


def test_what_belongs_to_another_run_is_told(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    other = write_run(tmp_path / "other", PLAIN[:2])
    shutil.copy(other / "mixture.h5", folder)
    out = done("report", "--run", folder).stdout
    assert "note: mixture.h5 was made from another samples.h5" not in out
    assert re.search(
        r"note: mixture.h5 was made from another labels.h5 \(.*\); run: gmmedit fit-mixture --force --run .*\n", out
    )


def test_a_page_without_pictures_says_why(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "strips.h5").unlink()
    path, lacks = report.run(folder, Execution())
    page = check_page(path.read_text(encoding="utf-8"))
    assert len(lacks) == 1 and lacks[0].startswith("no images: ")
    assert lacks[0].replace(f" --run {folder}", "") in page.text
    assert page.of("img") == [] and page.text.count("mixture, evaluated by nobody") >= 7, "the curves are there"


def test_a_place_that_cannot_be_written(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with untouched(whole):
        check(gmmedit("report", "--run", whole, "--out", tmp_path / "file" / "page.html"), "cannot write")


def test_a_file_that_is_no_report_is_not_overwritten(whole: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    for path in (notes, whole / "mixture.h5"):
        with untouched(whole), untouched(tmp_path):
            check(gmmedit("report", "--run", whole, "--out", path), f"{path} exists and is not a report", "--out")
    with untouched(tmp_path), pytest.raises(InputError, match=f"{tmp_path} is a folder"):
        report.write_page(tmp_path, "")
    for earlier in ("", render_document("gmmedit report: x", [], [], "")):
        notes.write_text(earlier)
        report.refuse_foreign(notes)


def test_the_settings_in_the_page_ask_the_same_question(run: Path, tmp_path: Path) -> None:
    from gmmedit.report.sections.run import resolved_settings
    from gmmedit.run.folder import RunFolder

    with RunFolder(run, Execution()) as it:
        it.find_all()
        text = yaml.safe_dump(resolved_settings(it))
    (tmp_path / "report.yaml").write_text(text)
    again = config.load(tmp_path / "report.yaml")
    for kind, section in (
        ("samples", "sample"),
        ("labels", "label"),
        ("single", "fit_single"),
        ("mixture", "fit_mixture"),
    ):
        with artifacts.open(run / f"{kind}.h5") as artifact:
            told = getattr(again, section).model_dump()
            assert {key: told[key] for key in artifact.spec.config if key in told} == {
                key: value for key, value in artifact.spec.resolved_config.items() if key in told
            }


@pytest.mark.usefixtures("little_work")
def test_pictures_are_made_once_and_a_stopped_run_goes_on(own_quick_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "strengths", (0.0, 1.0))
    monkeypatch.setattr(strips, "FRACTIONS", (0.0, 1.0))
    monkeypatch.setattr(strips, "SAVED_EVERY", 0)
    monkeypatch.setattr(strips, "SHOWN", 2)
    few = config.EvaluateSettings(n=24, starts=2, polish=1, editors=["mixture-polished"])
    evaluate.run(own_quick_run, few, Execution(batch=64))
    seen: list[int] = []

    def tick(done: int, total: int, text: str) -> None:
        seen.append(done)
        if len(seen) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        report.run(own_quick_run, Execution(batch=64, tick=tick))
    path, lacks = report.run(own_quick_run, Execution(batch=16))
    assert lacks == [f"comparison.h5 does not exist; run: gmmedit compare --run {own_quick_run}"]
    page, made = check_page(path.read_text(encoding="utf-8")), own_quick_run / "strips.h5"
    whole, before = made.read_bytes(), path.read_bytes()
    made.unlink()
    report.run(own_quick_run, Execution(batch=64))
    assert made.read_bytes() == whole and path.read_bytes() == before

    with artifacts.open(made, "strips") as kept, artifacts.open(own_quick_run / "evaluation.h5") as scored:
        roles, labels, images = kept["roles"], kept["labels"], kept["images"]
        assert images.shape[1:] == (2, 16, 16, 3) and set(np.unique(roles)) <= {0, BEST, WORST}
        assert len(page.of("img")) == (2 + 2) * 7 + (roles > 0).sum()
        ordinary = np.flatnonzero((roles == 0) & (kept["categories"] == 1))
        assert len(ordinary) == strips.SHOWN and (labels[ordinary, 0, :2].argmax(1) == 0).all()
        assert not np.array_equal(images[ordinary, 0], images[ordinary, 1])
        first = scored["seen/mixture-polished/1/rows"]
        picked = kept["seeds"][(roles > 0) & (kept["categories"] == 1)]
        assert set(picked) <= set(few.first_seed + first)


def test_picks_are_the_extremes_of_what_the_judge_saw(whole: Path) -> None:
    with artifacts.open(whole / "evaluation.h5") as scored:
        examples = [example for example in examples_of(scored) if example.category == 1]
        logits, rows = torch.from_numpy(scored["seen/mixture/1/logits"]), scored["seen/mixture/1/rows"]
        sigma = torch.from_numpy(scored["unedited/logits"]).std(0)
    has = logits[..., :2].argmax(-1) == 1  # (S, n)
    best, worst = (next(example for example in examples if example.role == role) for role in (BEST, WORST))
    assert has.any(0).all(), "all edits arrive"
    change = ((logits - logits[0]).abs() / sigma)[..., 2:]
    moved = torch.stack([change[..., :2].mean(-1), change[..., 2:].mean(-1)], -1).mean(-1)
    first = has.int().argmax(0)
    cost = moved.gather(0, first[None])[0]
    for example, row in ((best, int(cost.argmin())), (worst, int(cost.argmax()))):
        assert example.reached and example.seed == config.EvaluateSettings().first_seed + rows[row]
        assert example.moved == pytest.approx(float(cost[row])) and example.strength == [0, 0.5, 1, 2][first[row]]


def test_edits_that_never_arrive_are_the_worst() -> None:
    def example(reached: bool, label: float, moved: float) -> Example:
        return Example(WORST, 0, 0, 1.0, reached, label, moved, [])

    ranked = [example(True, 0.6, 0.1), example(True, 0.9, 2.0), example(False, 0.4, 0.1), example(False, 0.1, 0.0)]
    assert sorted(reversed(ranked), key=lambda it: it.badness) == ranked


def test_markup_escapes_text_and_keeps_markup() -> None:
    inner = element("b", "<i>&")
    assert inner == "<b>&lt;i&gt;&amp;</b>"
    assert element("p", [inner, " & "], class_='x"y', title=None) == f'<p class="x&quot;y">{inner} &amp; </p>'
    assert join(["<", Html("<")]) == "&lt;<"
    assert element("input", for_="a", aria_label="b", width=0.5) == '<input for="a" aria-label="b" width="0.5">'


def test_pictures_of_any_kind() -> None:
    grey = embed_images(np.full((3, 8, 4, 1), 200, np.uint8), "three")
    source = re.search(r"base64,([^\"]+)", grey)
    assert source
    with Image.open(io.BytesIO(base64.b64decode(source[1]))) as image:
        assert image.size == (12, 8) and image.convert("L").getpixel((5, 5)) in range(195, 206)


def test_shades_are_blue_below_and_orange_above() -> None:
    shown = heat_map(["x", "y", "z"], ["r"], np.array([[-1.0, 0.5, 0.0]]), [["-1", "+.5", "0"]], "")
    cells = re.findall(r"<td( style=\"background:rgb\(([0-9 ]+)/([0-9.]+)\)\")?>", shown)[1:]
    assert [(rgb, alpha) for _, rgb, alpha in cells] == [("0 114 178", "0.62"), ("230 159 0", "0.31"), ("", "")]
    assert [format_signed(value) for value in (-0.001, 0.5, -0.25)] == ["0", "+0.50", "-0.25"]


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 3), [0, 1, 2, 3]), (Axis("", -0.2, 1.04), [0, 0.25, 0.5, 0.75, 1]),
        (Axis("", 0.01, 10, log=True), [0.01, 0.1, 1, 10]), (Axis("", 0, 1999), [0, 500, 1000, 1500]),
        (Axis.around("", [5.0, 5.0]), [4.6, 4.8, 5.0, 5.2, 5.4]), (Axis.around("", [], log=True), [0.1, 1]),
    ],
)  # fmt: skip
def test_ticks_are_round_and_inside(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_lines_are_told_apart_without_colour() -> None:
    lines = [Line(f"line {i}", [0, 1, 2], [0.0, float("nan"), 1.0], i) for i in range(20)]
    drawn = render_chart(lines, Axis("x", 0, 2), Axis("y", 0, 1), "caption", "alt")
    entries = re.findall(r"<li>(.*?)</li>", drawn)
    looks = {re.sub(r"line c\d|line \d+", "", entry) for entry in entries}
    assert len(entries) == len(looks) == 20
    assert "nan" not in drawn and "inf" not in drawn


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MEASURE = """<script>onload = () => document.title = JSON.stringify({
  wide: document.documentElement.scrollWidth - innerWidth,
  broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).length})</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it_without_broken_pictures_or_sideways_scrolling(
    whole: Path, tmp_path: Path, width: int
) -> None:
    path, _ = report.run(shutil.copytree(whole, tmp_path / "run"), Execution())
    probed = tmp_path / "probed.html"
    text = re.sub(r"<meta http-equiv=[^>]*>", "", path.read_text(encoding="utf-8"))
    probed.write_text(text.replace("</head>", f"{MEASURE}</head>"), encoding="utf-8")
    flags = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
    told = subprocess.run([*command, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=100).stdout
    assert re.search(
        r"<title>\{&quot;wide&quot;:(0|-\d+),&quot;broken&quot;:0\}|<title>\{\"wide\":(0|-\d+),\"broken\":0\}", told
    )
