"""`gmmedit serve` without a browser: controls, sessions, uploads, downloads, and who may reach the page."""

import asyncio
import gc
import shlex
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import check, done, gmmedit
from PIL import Image

from gmmedit import artifacts
from gmmedit.config import EditSettings, InvertSettings
from gmmedit.editing.inverter import open_inverter
from gmmedit.editing.latent_files import to_npz
from gmmedit.editing.request import Aim
from gmmedit.editing.session import EditSession, open_session
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.web import server, uploads
from gmmedit.web.bars import show_bars
from gmmedit.web.controls import (
    Act,
    Along,
    Control,
    edit_command,
    list_acts,
    list_controls,
    to_aims,
    to_pasted,
    to_values,
)
from gmmedit.web.downloads import write_image, write_projected
from gmmedit.web.gate import COOKIE, Gate
from gmmedit.web.sessions import Closed, Tab
from gmmedit.web.tabs import Tabs
from gmmedit.web.uploads import Upload

ATTRIBUTES = [("smile", ["no", "yes"]), ("hair colour", ["black", "light blond", "red"]), ("one", ["only"])]
SMILE, GLASSES = Aim("smile", None, 0.6), Aim("glasses", None, -1.0)
GREY = Aim("hair_color", "grey", 1.25)
EQUAL = (Aim("smile", None, 1.0), Aim("hair_color", "grey", 1.0))  # moved jointly
POLISH = 2
INVERT = InvertSettings(steps=3, own=0)


@pytest.fixture(scope="module")
def folder(run: Path) -> Iterator[RunFolder]:
    execution = Execution()
    prepare(execution)
    with RunFolder(run, execution) as folder:
        yield folder


@pytest.fixture(scope="module")
def session(folder: RunFolder) -> EditSession:
    return open_session(folder, EditSettings(polish=POLISH))


@pytest.fixture
def tabs(session: EditSession, folder: RunFolder, tmp_path: Path) -> Tabs:
    (tmp_path / "pages").mkdir()
    attributes = folder.artifact("mixture").attributes
    return Tabs(session, attributes, tmp_path / "pages", lambda: open_inverter(folder, INVERT), most=3)


@pytest.fixture
def tab(tabs: Tabs) -> Tab:
    found = tabs.find("a")
    found.choose(tabs.draw(5))
    return found


def config(folder: Path, steps: int = POLISH) -> Path:
    """A file of settings."""
    path = folder / "few.yaml"
    path.write_text(f"edit: {{polish: {steps}}}\ninvert: {{steps: {INVERT.steps}, own: 0}}\n")
    return path


def optimised(tab: Tab, *aims: Aim) -> Any:
    tab.want(aims)
    found = tab.optimise(aims, patience=0)
    assert found is not None
    return found


# Controls


def test_values_of_controls_are_aims() -> None:
    controls = list_controls(ATTRIBUTES)
    assert [control.attribute for control in controls] == ["smile", "hair colour"]
    neutral = to_values(controls, ())
    assert neutral == [0.0, "", 0.0] and to_aims(controls, neutral) == ()
    for aims in (
        (Aim("smile", None, -0.35),),
        (Aim("smile", None, 1.5), Aim("hair colour", "light blond", 0.8)),
        (Aim("hair colour", "red", -1.0),),
    ):
        assert to_aims(controls, to_values(controls, aims)) == aims
    assert to_aims(controls, [None, "red", 0]) == (), "an emptied number, and a strength of nothing"
    assert to_aims(controls, [0.6000000000000001, "", 1]) == (Aim("smile", None, 0.6),)


def test_the_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    aims = (Aim("smile", None, 0.6), Aim("hair colour", "light blond", 1.0))
    line = edit_command(Path("my runs/x"), ("--seeds", "7"), aims, Path("few steps.yaml"))
    assert shlex.split(line) == [
        "gmmedit", "edit", "--seeds", "7", "--attr", "smile:0.6", "--attr", "hair colour=light blond",
        "--config", "few steps.yaml", "--run", "my runs/x",
    ]  # fmt: skip
    assert edit_command(Path("x"), ("--seeds", "7"), ()) == ""
    monkeypatch.setenv("GMMEDIT_RUN", "x")
    assert edit_command(Path("x"), ("--seeds", "7"), aims[:1]) == "gmmedit edit --seeds 7 --attr smile:0.6"


def test_bars_have_a_row_for_each_value() -> None:
    text = show_bars(
        [("smile", ["no", "yes"]), ("<b>", ["x", "y", "z"])], [0.9, 0.1, 0, 0.5, 1], [0, 1, 0, 0, 2], ["smile"]
    )
    assert text.count('class="numbers"') == 4 and "0.10 → 1.00" in text
    assert "&lt;b&gt;=x" in text and "<b>=" not in text, "names are text"
    assert 'style="width:100.0%"' in text and "200" not in text, "a bar stays in its track"


def test_a_control_of_two_values_is_a_slider() -> None:
    assert not Control("age", ("young", "old")).chosen and Control("hair", ("a", "b", "c")).chosen


# Sessions


@pytest.mark.parametrize("aims", [(SMILE,), (GLASSES, GREY), EQUAL])
def test_the_command_makes_the_same_files(tab: Tab, run: Path, tmp_path: Path, aims: tuple[Aim, ...]) -> None:
    preview = tab.preview(aims)
    found = optimised(tab, *aims)
    assert found.final and not preview.final and found.aims == aims
    for edited, steps in ((preview, 0), (found, POLISH)):
        words = shlex.split(edit_command(run, edited.start.source, aims, config(tmp_path, steps)))
        done(*words[1:], "--out", tmp_path, "--quiet")
        assert write_image(tab, edited).read_bytes() == (tmp_path / "edits" / "image_5.png").read_bytes()
        with artifacts.open(tmp_path / "edits.h5") as edits:
            assert np.array_equal(edits["labels_after"][0, 0], edited.labels)
    done("export", "--run", run, "--edits", tmp_path / "edits.h5", "--as", "projected_w", "-o", tmp_path / "w.npz")
    projected = write_projected(tab, found)
    assert projected is not None and projected.read_bytes() == (tmp_path / "w.npz").read_bytes()


def test_acts_stand_alone_and_their_command_makes_the_same_files(
    tabs: Tabs, session: EditSession, own_run: Path, tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"{a},{(a + b) % 2},{b}" for a in (0, 1) for b in (0, 0, 0, 0, 1) for _ in range(20)]
    table.write_text("\n".join(["smile,glasses,bangs", *rows]))
    done("graph", "--run", own_run, "--table", table, "--require", "smile->glasses", "--halves", 0, "--quiet")
    execution = Execution()
    with RunFolder(own_run, execution) as opened:
        attributes = opened.artifact("mixture").attributes
        tabs.causes = server.find_causes(opened, attributes)
    tab, aims = tabs.find("a"), (Act("smile", "no"),)
    controls = [*list_controls(tabs.attributes), *list_acts(tabs.attributes, True)]
    start = tabs.draw(next(seed for seed in range(5, 40) if tabs.draw(seed).labels[1] > 0.5))
    shown = to_values(controls, aims)
    shown[0] = 0.6  # a slider beside it
    assert to_aims(controls, shown) == aims and list_acts(tabs.attributes, False) == []
    tab.choose(start)
    found = tab.optimise_at(start, aims, 1.0) if tab.want(aims) else None
    command = shlex.split(edit_command(own_run, start.source, aims, config(tmp_path)))
    assert found is not None and command[2:6] == ["--seeds", str(start.number), "--do", "smile=no"]
    done(*command[1:], "--out", tmp_path / "out", "--quiet")
    with artifacts.open(tmp_path / "out" / "edits.h5", "edits") as edits:
        assert np.array_equal(edits["images_after"][0, 0], found.pixels)
        assert np.array_equal(edits["latents"][0], found.latent.numpy())


def test_no_aims_give_the_unedited_image(tab: Tab, run: Path, tmp_path: Path) -> None:
    found = tab.preview(())
    assert found.final and np.array_equal(found.pixels, found.start.pixels)
    done("edit", "--run", run, "--out", tmp_path, "--attr", "smile:0", "--seeds", 5, "--polish", 0, "--quiet")
    assert write_image(tab, found).read_bytes() == (tmp_path / "edits" / "image_5.png").read_bytes()


def test_previews_are_optimised_once_their_offset_is_known(tab: Tab) -> None:
    optimised(tab, SMILE)
    stronger = replace(SMILE, strength=0.9)
    preview = tab.preview((stronger,))
    assert preview.final and np.array_equal(preview.pixels, optimised(tab, stronger).pixels)
    assert not tab.preview((replace(SMILE, strength=-0.5),)).final, "away from the value is another offset"


def test_the_latest_value_wins(tabs: Tabs, session: EditSession, run: Path, tmp_path: Path) -> None:
    assert session.optimisation is not None
    endless = replace(session, optimisation=replace(session.optimisation, steps=100_000))
    (tmp_path / "endless").mkdir()
    tab = Tabs(endless, tabs.attributes, tmp_path / "endless", tabs.open_inverter).find("a")
    tab.choose(tabs.draw(5))
    found: list[object] = ["nothing yet"]
    tab.preview((SMILE,))
    worker = threading.Thread(target=lambda: found.append(tab.optimise((SMILE,), patience=0)))
    worker.start()
    time.sleep(0.5)
    assert worker.is_alive(), "it is being optimised"
    preview = tab.preview((GLASSES,))
    worker.join(timeout=60)
    assert not worker.is_alive() and found[-1] is None and not tab.history[-1].aims
    assert preview.aims == (GLASSES,) and not np.array_equal(preview.pixels, preview.start.pixels)
    assert tab.optimise((SMILE,), patience=0) is None, "a late request for older values is not heeded"


def test_controls_that_move_are_not_optimised(tab: Tab) -> None:
    tab.preview((SMILE,))
    timer = threading.Timer(0.1, tab.preview, [(GLASSES,)])
    timer.start()
    assert tab.optimise((SMILE,), patience=30) is None
    timer.join()


def test_pages_do_not_mix(tabs: Tabs) -> None:
    first, second = tabs.find("a"), tabs.find("b")
    first.choose(tabs.draw(1))
    second.choose(tabs.draw(2), (GREY,))
    one, two = first.preview((SMILE,)), second.preview((SMILE,))
    assert (one.start.number, two.start.number) == (1, 2)
    alone = tabs.find("c")
    alone.choose(tabs.draw(1))
    assert np.array_equal(alone.preview((SMILE,)).pixels, one.pixels)
    assert first.folder != second.folder


def test_a_closed_page_frees_what_it_held(tabs: Tabs) -> None:
    tab = tabs.find("a")
    tab.choose(tabs.draw(1))
    folder, gone = write_image(tab, tab.preview(())).parent, weakref.ref(tab)
    tabs.close("a")
    tabs.close("a")
    assert not folder.exists()
    with pytest.raises(Closed, match="this page was closed"):
        tab.preview((SMILE,))
    del tab
    gc.collect()
    assert gone() is None and not tabs.tabs


def test_the_page_unused_for_longest_makes_room(tabs: Tabs) -> None:
    first, second, third = (tabs.find(name) for name in "abc")
    first.choose(tabs.draw(1))
    second.choose(tabs.draw(2))
    tabs.find("a")
    tabs.find("d")
    assert list(tabs.tabs) == ["c", "a", "d"] and tabs.find("c") is third
    assert second.start is None and first.start is not None


def test_all_pages_are_closed_at_the_end(tabs: Tabs) -> None:
    folders = [tabs.find(name).folder for name in "ab"]
    tabs.close_all()
    assert not tabs.tabs and not any(folder.exists() for folder in folders)


def test_undo(tab: Tab, tabs: Tabs) -> None:
    plain = tab.preview(())
    one, two = optimised(tab, SMILE), optimised(tab, SMILE, GLASSES)
    tab.preview((GREY,))  # not finished
    for wanted in (two, one, plain, plain):
        found = tab.undo()
        assert found.final and found.aims == wanted.aims and np.array_equal(found.pixels, wanted.pixels)
    tab.choose(tabs.draw(9))
    assert tab.undo().start is plain.start is tab.start
    assert np.array_equal(optimised(tab, SMILE).pixels, one.pixels)


# Uploads


def test_own_latents(tab: Tab, tabs: Tabs, run: Path, tmp_path: Path) -> None:
    with artifacts.open(run / "samples.h5") as samples:
        (tmp_path / "mine.npz").write_bytes(to_npz({"w": samples["w"][3:5]}))
    tab.choose(tabs.read(Upload(tmp_path / "mine.npz"), run))
    found = optimised(tab, SMILE)
    words = edit_command(run, found.start.source, (SMILE,), config(tmp_path)).replace(
        "mine.npz", str(tmp_path / "mine.npz")
    )
    done(*shlex.split(words)[1:], "--out", tmp_path, "--quiet")
    assert write_image(tab, found).read_bytes() == (tmp_path / "edits" / "image_0.png").read_bytes()


def test_a_photograph(tabs: Tabs, tab: Tab, own_run: Path, tmp_path: Path) -> None:
    photograph, ticks = tmp_path / "holiday.png", []
    Image.fromarray(tabs.draw(11).pixels).resize((300, 260)).save(photograph)
    tab.choose(tabs.invert(Upload(photograph), lambda *tick: ticks.append(tick)))
    found = optimised(tab, SMILE)
    assert ticks == [(step, 3, "inversion") for step in (1, 2, 3)]
    assert found.start.photograph is not None and found.start.photograph.shape == found.pixels.shape
    command = edit_command(own_run, found.start.source, (SMILE,), config(tmp_path), found.start.command)
    first, second = command.split(" && ")
    assert first.startswith("gmmedit invert holiday.png --config ") and "--inverted" in second
    done("invert", photograph, *shlex.split(first)[3:], "--quiet")
    done(*shlex.split(second)[1:], "--quiet")
    assert write_image(tab, found).read_bytes() == (own_run / "edits" / "image_0.png").read_bytes()


def test_what_is_pasted_of_sliders_directions_and_acts() -> None:
    attributes = [("smile", ["no", "yes"]), ("hair", ["black", "red", "grey"])]
    amount, moves = to_pasted((Aim("smile", None, -0.5), Along(3, 2.0)), attributes, 0.5)
    assert amount.tolist() == [0.5] and [(c, s.tolist()) for c, s in moves] == [(1, [-0.25])]
    amount, moves = to_pasted((Along(3, 2.0),), attributes, 1.0)
    assert amount.tolist() == [1.0] and moves == []
    amount, moves = to_pasted((Act("hair", "grey"),), attributes, 0.25)
    assert amount.tolist() == [0.25] and [(c, s.tolist()) for c, s in moves] == [(4, [0.25])]


@pytest.mark.parametrize(
    ("name", "phrase"), [("text.jpg", "text.jpg is not an image"), ("one.png", "one.png is 1 x 1 pixels: too small"),
                         ("phone.heic", "phone.heic is in HEIC format")]
)  # fmt: skip
def test_files_that_are_no_photographs(tabs: Tabs, tmp_path: Path, name: str, phrase: str) -> None:
    path = tmp_path / name
    if name == "one.png":
        Image.new("RGB", (1, 1)).save(path)
    else:
        path.write_bytes(b"just text" if name == "text.jpg" else b"\0\0\0\x18ftypheic\0\0\0\0")
    with pytest.raises(InputError, match=phrase) as caught:
        tabs.invert(Upload(path), lambda *_: None)
    assert str(tmp_path) not in caught.value.message


def test_uploads_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    for name, content, phrase in (
        ("a.npz", b"", "a.npz has 0 bytes"),
        ("a.npz", b"12345678901", "a.npz has 11 bytes"),
        ("a.exe", b"1", "a.exe is of another kind"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=phrase):
            Upload(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "phrase"), [(b"just text", "w.npz"), (b"PK\x03\x04 broken", "w.npz cannot be read as npz")]
)
def test_a_file_that_holds_no_latents(tabs: Tabs, run: Path, tmp_path: Path, content: bytes, phrase: str) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(InputError, match=phrase) as caught:
        tabs.read(Upload(tmp_path / "w.npz"), run)
    assert str(tmp_path) not in caught.value.message, "places on the server are nobody's business"


# The server


def ask(
    gate: Gate, path: str = "/", method: str = "GET", query: str = "", **headers: str
) -> tuple[int, dict[str, str]]:
    """The status and headers of a request's response; 200 is that of the application behind the gate."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a request without a body")

    fields = [(name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1:7860"} | headers).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": fields}
    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_requests_to_another_name_or_from_another_page_are_refused() -> None:
    gate = Gate(application, None, ["127.0.0.1", "localhost"])
    assert ask(gate)[0] == ask(gate, host="localhost:1")[0] == 200
    assert ask(gate, host="evil.example")[0] == ask(gate, host="[")[0] == 421
    own, foreign = "http://127.0.0.1:7860", "http://evil.example"
    assert ask(gate, method="POST")[0] == ask(gate, method="POST", origin=own)[0] == 200
    assert ask(gate, method="POST", origin=foreign)[0] == ask(gate, method="POST", origin="null")[0] == 403
    assert ask(gate, method="POST", origin="http://[")[0] == 403  # no address


def test_a_token_is_asked_for_once() -> None:
    gate = Gate(application, "secret", None)
    for query in ("", "token=", "token=secre", "token=secret2", "token=%C3%A9"):
        assert ask(gate, query=query)[0] == 401
    status, headers = ask(gate, query="token=secret", host="192.168.0.2:7860")
    assert status == 303 and headers["location"] == "/"
    cookie = headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=secret;") and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    for path, place in {"//other/a": "/other/a", "/\\other": "/other", "/ł": "/%C5%82", "/a\n": "/a%0A"}.items():
        assert ask(gate, path, query="token=secret")[1]["location"] == place
    assert ask(gate, "/config", cookie=f"{COOKIE}=secret; other=1")[0] == 200
    assert ask(gate, "/config", cookie=f"{COOKIE}=wrong")[0] == 401
    assert ask(gate, "/upload", method="POST")[0] == 401


def test_a_port_that_is_taken(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "import_gradio", lambda: None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        check(gmmedit("serve", "--run", run, "--port", port), f"cannot listen on 127.0.0.1 port {port}", "--port 0")


def test_an_address_of_another_machine(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(server, "import_gradio", lambda: None)
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    check(gmmedit("serve", "--run", run, "--host", "nowhere"), "cannot listen on nowhere", "--host 127.0.0.1")


def test_without_gradio(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    check(gmmedit("serve", "--run", run), "the page needs the package gradio", "pip install 'gmmedit[web]'")


def test_a_run_without_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "import_gradio", lambda: None)
    check(gmmedit("serve", "--run", tmp_path / "none", "--port", 0), "mixture.h5 does not exist", "gmmedit fit-mixture")


def test_addresses() -> None:
    assert server.address_of("127.0.0.1", 80, None) == "http://127.0.0.1:80/"
    assert server.address_of("::", 80, "abc") == "http://[::]:80/?token=abc"


def test_the_image_of_a_grey_generator(tab: Tab) -> None:
    edited = replace(tab.preview(()), pixels=np.zeros((4, 6, 1), np.uint8))
    with Image.open(write_image(tab, edited)) as image:
        assert (image.mode, image.size) == ("L", (6, 4))
