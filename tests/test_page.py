"""The page of `gmmedit serve` in a real Chromium: drag, keyboard, copy the command and run it, phone, several pages."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import done
from PIL import Image

from gmmedit import artifacts
from gmmedit.editing.latent_files import to_npz

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytest.importorskip("gradio", reason="needs the extra `web`: pip install 'gmmedit[web]'")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
if CHROMIUM is None:
    pytest.skip("needs a Chromium: apt-get install chromium", allow_module_level=True)

FEW = "edit: {polish: 2}\ninvert: {steps: 3, own: 0}\n"
SECONDS = 60_000  # milliseconds that a slow machine may take
OPTIMISED = "document.querySelector('#status').innerText.includes('optimised, as')"


@contextmanager
def serving(run: Path, folder: Path, *words: str) -> Iterator[str]:
    """The address of the page, served by a process of its own that keeps its files in `folder`."""
    (folder / "here").mkdir(parents=True)
    (folder / "few.yaml").write_text(FEW)
    command = [sys.executable, "-m", "gmmedit", "serve", "--run", str(run), "--port", "0", *words]
    environment = {
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "PATH": "",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    process = subprocess.Popen(
        [*command, "--config", str(folder / "few.yaml")], cwd=folder / "here", env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("serving http"), process.communicate()[1]
        yield line.split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "") and output.endswith("stopped\n")
    assert list((folder / "here").iterdir()) == [], "nothing is written where the server was started"
    assert [path.name for path in folder.iterdir() if path.name.startswith("gmmedit-")] == []


@pytest.fixture(scope="module")
def served(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served") / "server"
    with serving(run, folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str, width: int = 1280, height: int = 900, scheme: str = "light") -> Iterator[Any]:
    """A page that has shown its image; nothing but the server may be asked, and no script may fail."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#after img")
    page.wait_for_function("document.querySelector('#status').innerText.includes('unedited')")
    yield page
    context.close()
    own = re.match(r"http://[^/]*/", address)
    assert own and [url for url in asked if not url.startswith((own[0], "data:", "blob:"))] == []
    assert failed == []


def slider(page: Any, name: str) -> Any:
    return page.get_by_label(f"range slider for {name}", exact=True)


def drag(page: Any, name: str, start: float, stop: float, moves: int = 8) -> None:
    """Drag a slider's handle between two shares of its length, and let go."""
    slider(page, name).scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # what appears above may still move it
    box = slider(page, name).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    for i in range(1, moves + 1):
        page.mouse.move(box["x"] + box["width"] * (start + (stop - start) * i / moves), y)
        page.wait_for_timeout(40)
    page.mouse.up()


def image_of(page: Any, which: str) -> bytes:
    """The bytes of an image that the page shows."""
    return page.request.get(page.locator(f"#{which} img").get_attribute("src")).body()


def download(page: Any, button: str) -> tuple[str, bytes]:
    with page.expect_download() as found:
        page.locator(f"#{button}").click()
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def clear(page: Any) -> None:
    """Dismiss the error shown on the dropped file, then the file."""
    while not page.locator("#file input").count():
        page.locator("#file").get_by_label("Clear").first.click()
        page.wait_for_timeout(200)


def command_of(page: Any) -> str:
    return page.locator("#command textarea").input_value()


def test_drag_and_run_the_command(run: Path, served: tuple[str, Path], browser: Any, tmp_path: Path) -> None:
    with opened(browser, served[0]) as page:
        before = image_of(page, "before")
        drag(page, "glasses", 0.4, 0.8)
        page.wait_for_function("document.querySelector('#command textarea').value.includes('glasses')")
        strength = page.get_by_label("number input for hair_color: strength", exact=True)
        assert float(strength.input_value()) == 0, "as it is"
        page.get_by_label("hair_color", exact=True).click()
        page.get_by_role("option", name="grey").click()
        page.wait_for_function("document.querySelector('#command textarea').value.includes('grey')")
        assert float(strength.input_value()) == 1
        page.wait_for_function(OPTIMISED)
        assert image_of(page, "before") == before != image_of(page, "after")
        name, image = download(page, "png")
        projected, latent = download(page, "npz")
        line = command_of(page)
        assert re.fullmatch(
            rf"gmmedit edit --seeds 0 --attr glasses(:[\d.]+)? --attr hair_color=grey --config \S+ --run {run}", line
        )
        page.locator("#strip").click()
        page.wait_for_selector("#strips img")
        assert page.locator("#strips img").count() >= 5
    done(*shlex.split(line)[1:], "--out", tmp_path, "--quiet")
    assert (name, projected) == ("image_0.png", "projected_w.npz")
    assert image == (tmp_path / "edits" / name).read_bytes()
    done("export", "--run", run, "--edits", tmp_path / "edits.h5", "--as", "projected_w", "-o", tmp_path / "w.npz")
    assert latent == (tmp_path / "w.npz").read_bytes()


def test_keyboard_alone(served: tuple[str, Path], browser: Any) -> None:
    with opened(browser, served[0], scheme="dark") as page:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.getAttribute('aria-label')") == "range slider for smile":
                break
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        page.wait_for_function("document.querySelector('#command textarea').value.includes('smile:-0.15')")
        page.wait_for_function(OPTIMISED)
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "undo":
                break
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#command textarea').value == ''")
        assert slider(page, "smile").input_value() == "0"


def test_a_phone(served: tuple[str, Path], browser: Any) -> None:
    with opened(browser, served[0], 390, 844, "dark") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        slider(page, "beard").scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        shown = [page.locator(place).bounding_box() for place in ("#before img", "#after img")]
        assert shown[0]["y"] == shown[1]["y"] and shown[0]["x"] + shown[0]["width"] <= shown[1]["x"], "side by side"
        assert shown[0]["y"] >= 0 and shown[0]["height"] >= 100, "the images stay in sight of the sliders"
        ink, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
        dark, light = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (paper, ink))
        assert dark < 150 < 600 < light


def test_pages_do_not_mix_and_closing_one_frees_it(served: tuple[str, Path], browser: Any) -> None:
    def folders() -> set[str]:
        return {path.name for path in served[1].glob("gmmedit-*/page_*")}

    before = folders()
    with opened(browser, served[0]) as first, opened(browser, served[0]) as second:
        first.get_by_role("button", name="next seed").click()
        first.wait_for_function("document.querySelector('#seed input').value == '1'")
        drag(second, "smile", 0.4, 0.2)
        second.wait_for_function("document.querySelector('#command textarea').value.includes('smile')")
        second.wait_for_function(OPTIMISED)
        assert command_of(first) == "" and "--seeds 0 " in command_of(second)
        assert image_of(first, "before") != image_of(second, "before")
        assert len(folders() - before) == 2
    with opened(browser, served[0]) as page:
        for _ in range(200):
            if len(folders() - before) <= 1:
                break
            page.wait_for_timeout(200)
        assert len(folders() - before) <= 1


def test_own_latents_and_other_files(run: Path, served: tuple[str, Path], browser: Any, tmp_path: Path) -> None:
    with artifacts.open(run / "samples.h5") as samples:
        (tmp_path / "mine.npz").write_bytes(to_npz({"w": samples["w"][7:8]}))
    (tmp_path / "text.npz").write_text("no latents")
    (tmp_path / "large.npz").write_bytes(np.zeros((33 << 20) // 8).tobytes())
    with opened(browser, served[0]) as page:
        page.get_by_role("button", name="your own photograph").click()
        page.locator("#file input").set_input_files(tmp_path / "text.npz")
        page.get_by_text("text.npz is not an npy, npz or torch.save file").wait_for()
        clear(page)
        page.locator("#file input").set_input_files(tmp_path / "large.npz")
        page.get_by_text("exceed the maximum allowed size of 32.0 Mb").wait_for()
        sent = {
            "files": {
                "name": "large.npz",
                "mimeType": "application/octet-stream",
                "buffer": (tmp_path / "large.npz").read_bytes(),
            }
        }
        assert page.request.post(f"{served[0]}gradio_api/upload", multipart=sent).status == 413
        page.locator("#file input").set_input_files(tmp_path / "mine.npz")
        drag(page, "age: young ← → old", 0.4, 0.8)
        page.wait_for_function("document.querySelector('#command textarea').value.includes('--latents mine.npz')")
        page.wait_for_function(OPTIMISED)
        name, image = download(page, "png")
        words = shlex.split(command_of(page).replace("mine.npz", str(tmp_path / "mine.npz")))
    done(*words[1:], "--out", tmp_path, "--quiet")
    assert image == (tmp_path / "edits" / name).read_bytes()


def test_drop_a_photograph(own_run: Path, served: tuple[str, Path], browser: Any, tmp_path: Path) -> None:
    done("edit", "--run", own_run, "--attr", "smile", "--seeds", 21, "--polish", 0, "--out", tmp_path, "--quiet")
    photograph = tmp_path / "holiday.jpg"
    with Image.open(tmp_path / "edits" / "image_21.png") as image:
        image.resize((200, 300)).save(photograph, quality=95)
    with opened(browser, served[0]) as page:
        page.get_by_role("button", name="your own photograph").click()
        page.locator("#file input").set_input_files(photograph)
        page.wait_for_selector("#cut img")
        drag(page, "glasses", 0.4, 0.8)
        page.wait_for_function("document.querySelector('#command textarea').value.includes('glasses')")
        page.wait_for_function(OPTIMISED)
        name, image_bytes = download(page, "png")
        first, second = command_of(page).split(" && ")
    assert first.startswith("gmmedit invert holiday.jpg --config ")
    for words in (["gmmedit", "invert", str(photograph), *shlex.split(first)[3:]], shlex.split(second)):
        done(*words[1 : words.index("--run")], "--run", own_run, "--quiet")  # the run of the page stays as it is
    assert image_bytes == (own_run / "edits" / name).read_bytes()


def test_samples_are_chosen_in_a_gallery(served: tuple[str, Path], browser: Any) -> None:
    with opened(browser, served[0]) as page:
        page.get_by_role("button", name="choose among samples").click()
        page.get_by_role("button", name=re.compile("seed 3|Thumbnail 4")).first.click()
        page.wait_for_function("document.querySelector('#seed input').value == '3'")


def test_the_server_ends_quietly_with_pages_open(run: Path, browser: Any, tmp_path: Path) -> None:
    with serving(run, tmp_path / "server") as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#after img", timeout=SECONDS)
    page.close()


def test_another_host_asks_for_a_token(run: Path, browser: Any, tmp_path: Path) -> None:
    with serving(run, tmp_path / "server", "--host", "0.0.0.0") as address:
        local = address.replace("0.0.0.0", "127.0.0.1")
        bare = local.partition("?")[0]
        context = browser.new_context()
        for path in ("", "config", "gradio_api/upload", "theme.css"):
            assert context.request.get(bare + path).status == 401
        context.close()
        with opened(browser, local) as page:
            assert "token" not in page.url
