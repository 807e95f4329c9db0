"""`gmmedit models`: the list, what fetch says and does, and the names that other commands know."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import check, done, gmmedit
from small_site import CONTENT, Site, hurry, served, serving, sha256

from gmmedit.hub import CATALOGUE, Entry, downloading, presence
from gmmedit.hub.catalogue import read_public

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with serving() as server:
        yield server


@pytest.fixture
def site(server: ThreadingHTTPServer) -> Iterator[Site]:
    site = served(server)
    yield site
    site.stalls.set()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GMMEDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def catalogued(monkeypatch: pytest.MonkeyPatch, name: str, site: Site) -> Entry:
    entry = replace(CATALOGUE[name], folder_url=site.url.removesuffix("net.pkl"))
    monkeypatch.setitem(CATALOGUE, name, entry)
    return entry


def listed(name: str) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(done("models", "--json").stdout)}[name]


def test_fetched_and_sampled(site: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.content = (DATA / "sg3_b_r32.pkl").read_bytes()
    entry = catalogued(monkeypatch, "stylegan3-r-ffhq", site)
    sampling = ("sample", "--gan", "stylegan3-r-ffhq", "-n", 2, "--run", tmp_path / "run")
    check(gmmedit(*sampling), "gmmedit models fetch stylegan3-r-ffhq (about 237 MB; NVIDIA Source Code License")
    assert site.asked == [] and listed("stylegan3-r-ffhq")["on_disk"] == "no"

    site.answers = [len(site.content) // 2, *4 * ["503"]]
    half = gmmedit("models", "fetch", "stylegan3-r-ffhq")
    assert half.exit_code == 1 and len(half.stderr.splitlines()) == 2 and "503" in half.stderr
    assert listed("stylegan3-r-ffhq")["on_disk"] == presence(entry) == "50 %"

    said = done("models", "fetch", "stylegan3-r-ffhq").stdout
    assert said.index(entry.licence) < said.index(f"from {entry.url(entry.path)}") < said.index(f"wrote {entry.path}")
    assert f"SHA-256 {sha256(site.content)}" in said and "about 237 MB" in said and entry.page in said
    assert listed("stylegan3-r-ffhq")["on_disk"] == "yes"
    again = done("models", "fetch", "stylegan3-r-ffhq").stdout
    assert again == f"SHA-256 {sha256(site.content)}\nchecked {entry.path}\n"
    assert done("models", "fetch", "stylegan3-r-ffhq", "--restart", "--quiet").output == ""
    done(*sampling)


def test_models_of_two_files(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogued(monkeypatch, "biggan-deep-128", site)
    weights = sha256(CONTENT)
    site.answers = [len(CONTENT), "404"]
    assert "404" in gmmedit("models", "fetch", "biggan-deep-128").stderr
    assert listed("biggan-deep-128")["on_disk"] == "no"
    assert "pytorch_model.bin" in gmmedit("sample", "--gan", "biggan-deep-128").stderr.splitlines()[0]
    done("models", "fetch", "biggan-deep-128", "--sha256", weights)
    stems = ["biggan-deep-128-config.json", "biggan-deep-128-pytorch_model.bin"]
    assert sorted(it.name for it in cache.iterdir()) == sorted([*stems, *(f"{name}.sha256" for name in stems)])
    assert listed("biggan-deep-128")["on_disk"] == "yes"


def test_only_by_hand(cache: Path) -> None:
    entry = CATALOGUE["rosinality-ffhq-256"]
    by_hand = ("https://github.com/rosinality/stylegan2-pytorch", "MIT", f"save it as {cache}/550000.pt")
    check(gmmedit("models", "fetch", "rosinality-ffhq-256"), "can only be downloaded with a browser", *by_hand)
    check(gmmedit("sample", "--gan", "rosinality-ffhq-256"), "has not been downloaded", *by_hand)
    cache.mkdir(parents=True)
    entry.path.write_bytes(CONTENT)
    assert "checked" in done("models", "fetch", "rosinality-ffhq-256").stdout
    assert listed("rosinality-ffhq-256")["on_disk"] == "yes"


def test_an_address_is_fetched_and_then_taken_for_a_generator(site: Site, cache: Path, tmp_path: Path) -> None:
    """The hint of what refuses an address works, word for word; nothing is downloaded unasked."""
    site.content = (DATA / "sg3_b_r32.pkl").read_bytes()
    sampling = ("sample", "--gan", site.url, "-n", 2, "--run", tmp_path / "run")
    refused = gmmedit(*sampling)
    check(refused, f"{site.url} has not been downloaded", f"gmmedit models fetch {site.url}")
    assert not site.asked
    hint = refused.stderr.splitlines()[1].removeprefix(" hint: gmmedit ")
    assert "licence: unknown, see the page of the checkpoint" in done(*hint.split()).stdout
    done(*sampling)
    assert "checked" in done("models", "fetch", site.url).stdout and len(site.asked) == 1
    other = f"{site.url}?version=2"  # another address is another file, whatever its last part
    site.content = (DATA / "sg2_d_orig16gray.pkl").read_bytes()
    done("models", "fetch", other, "--quiet")
    assert sorted(path.name for path in cache.rglob("net.pkl")) == ["net.pkl", "net.pkl"]


def test_addresses_of_the_catalogue_are_its_names(
    site: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = (DATA / "sg3_b_r32.pkl").read_bytes()
    entry = catalogued(monkeypatch, "stylegan3-r-ffhq", site)
    sampling = ("sample", "--gan", entry.url(entry.path), "-n", 2, "--run", tmp_path / "run")
    check(gmmedit(*sampling), "gmmedit models fetch stylegan3-r-ffhq (about 237 MB")
    done("models", "fetch", entry.url(entry.path))
    assert entry.path.is_file()
    done(*sampling)


def test_addresses_without_a_file(cache: Path, tmp_path: Path) -> None:
    for url in ("https://example.com", "https://example.com/models/", "https://example.com/../.."):
        for words in (("models", "fetch", url), ("sample", "--gan", url, "--run", tmp_path / "run")):
            check(gmmedit(*words), f"{url} does not name a file", "the address of the checkpoint file")


def test_names_that_cannot_be_fetched(cache: Path) -> None:
    check(
        gmmedit("models", "fetch", "stylegan2-ffqh"), "unknown model 'stylegan2-ffqh'", "did you mean 'stylegan2-ffhq'?"
    )
    check(gmmedit("models", "fetch", "avatars"), "comes with gmmedit")
    wrong = gmmedit("models", "fetch", "stylegan2-ffhq", "--sha256", "12")
    assert wrong.exit_code == 2 and "'12' is not a SHA-256" in wrong.stderr and not cache.exists()


def test_stopped_from_the_keyboard(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalogued(monkeypatch, "stylegan2-ffhq", site)
    append = downloading.Part.append

    def stopped(part: downloading.Part, data: bytes) -> None:
        append(part, data[:100_000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloading.Part, "append", stopped)
        result = gmmedit("models", "fetch", "stylegan2-ffhq", "--quiet")
    assert result.exit_code == 130
    assert result.stderr == "stopped: finished work is kept; run the same command to resume\n"
    assert presence(entry) != "no"
    done("models", "fetch", "stylegan2-ffhq")
    assert entry.path.read_bytes() == CONTENT and site.ranges_asked()[1].startswith("bytes=")


def test_the_list(cache: Path) -> None:
    text = done("models").stdout
    rows = json.loads(done("models", "--json").stdout)
    assert [row["name"] for row in rows] == list(CATALOGUE)
    for row in rows:
        assert row["name"] in text and row["licence"] in text and row["page"] in text
        assert row["on_disk"] == ("yes" if row["name"] == "avatars" else "no")
    assert "about 381" in text


def test_the_list_needs_no_torch() -> None:
    listing = "from gmmedit.cli.app import app; app(['models'], standalone_mode=False)"
    script = f"import sys; {listing}; assert not {{'torch', 'numpy', 'h5py'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_every_public_model_has_a_place_of_its_own(cache: Path) -> None:
    entries = dict(read_public())
    assert len({path for entry in entries.values() for path in entry.paths}) == sum(
        len(entry.paths) for entry in entries.values()
    )
    for name, entry in entries.items():
        assert entry.page.startswith("https://") and entry.licence and entry.family, name
        assert entry.pixels & (entry.pixels - 1) == 0 and (entry.megabytes or 1) < 1000, name
        assert all(entry.url(path).startswith("https://") for path in entry.paths if entry.folder_url), name
        assert all(path.parent == cache for path in entry.paths), name
