"""Public models come over HTTP: from a server of this test, with everything that goes wrong on the way."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Literal
from urllib.request import Request

import pytest
from conftest import state, untouched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_site import CONTENT, OTHER, Site, hurry, served, serving, sha256
from test_disk import largest_file

from gmmedit.errors import InputError, RunError
from gmmedit.hub import downloading, fetch_file


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
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "net.pkl"


def names(path: Path) -> list[str]:
    return sorted(it.name for it in path.parent.iterdir())


def interrupted(site: Site, path: Path, size: int) -> None:
    """Leave that many bytes of a download."""
    site.answers = [size, *4 * ["503"]]
    with pytest.raises(RunError, match="503"):
        fetch_file(site.url, path)
    assert downloading.partial_path(path).stat().st_size == size
    site.asked.clear()


# Undisturbed


def test_a_file_is_fetched_once(site: Site, path: Path) -> None:
    assert fetch_file(site.url, path) == sha256(CONTENT)
    assert path.read_bytes() == CONTENT and names(path) == ["net.pkl", "net.pkl.sha256"]
    assert path.with_name("net.pkl.sha256").read_text() == f"{sha256(CONTENT)}  net.pkl\n"  # as sha256sum -c reads
    with untouched(path.parent):
        assert fetch_file(site.url, path, sha256(CONTENT).upper()) == sha256(CONTENT)
    assert len(site.asked) == 1


def test_progress_ends_at_the_whole(site: Site, path: Path) -> None:
    site.content *= 3
    ticks: list[tuple[int, int, str]] = []
    fetch_file(site.url, path, tick=lambda *tick: ticks.append(tick))
    assert ticks[-1] == (3, 3, "net.pkl, MB") and ticks == sorted(ticks)


# Connections that break


@pytest.mark.parametrize("length", ["told", "chunked"])
def test_a_cut_connection_is_taken_up(site: Site, path: Path, length: Literal["told", "chunked"]) -> None:
    site.length, site.answers = length, [300_000, 0, 200_000]
    fetch_file(site.url, path)
    first, second, *_ = site.asked
    assert path.read_bytes() == CONTENT and first["Range"] is None
    assert second["If-Range"] == '"one"' and second["Range"].startswith("bytes=")
    assert len(site.asked) == 4 or length == "chunked"


def test_the_next_command_goes_on(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == ["bytes=400000-"]


def test_restart_does_not_go_on(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    fetch_file(site.url, path, restart=True)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [None]


def test_a_server_that_sends_another_part(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    site.later = 1
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == ["bytes=400000-", None]


def test_a_killed_command_goes_on(site: Site, path: Path) -> None:
    site.answers = [-300_000]
    script = "import sys, pathlib, gmmedit.hub as hub; hub.fetch_file(sys.argv[1], pathlib.Path(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", script, site.url, path])
    part = downloading.partial_path(path)
    while not (part.is_file() and part.stat().st_size == 300_000):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [None, "bytes=300000-"]


def test_a_server_without_ranges(site: Site, path: Path) -> None:
    site.ranges = False
    interrupted(site, path, 400_000)
    site.answers = [100_000]
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and len(site.asked) == 2


@pytest.mark.parametrize("conditions", [True, False])
def test_a_file_that_changes_in_between(site: Site, path: Path, conditions: bool) -> None:
    interrupted(site, path, 400_000)
    site.content, site.etag, site.conditions = OTHER, '"two"', conditions
    assert fetch_file(site.url, path) == sha256(OTHER) and path.read_bytes() == OTHER


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_a_file_whose_change_would_not_be_noticed(site: Site, path: Path, etag: str) -> None:
    site.etag = etag
    interrupted(site, path, 400_000)
    site.content = OTHER
    fetch_file(site.url, path)
    assert path.read_bytes() == OTHER and site.ranges_asked() == [None]


def test_notes_that_are_damaged(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    downloading.notes_path(path).write_text('{"total": 10240')
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [None]


def test_everything_is_there_already(site: Site, path: Path) -> None:
    site.length, site.answers = "chunked", [400_000, *4 * ["503"]]
    with pytest.raises(RunError):
        fetch_file(site.url, path)
    site.asked.clear()
    downloading.partial_path(path).write_bytes(CONTENT)
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [f"bytes={len(CONTENT)}-"]  # answered by 416


def test_more_than_everything_is_there(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    downloading.partial_path(path).write_bytes(CONTENT + b"more")
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_stalled_server(site: Site, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "TIMEOUT", 0.1)
    site.answers = [-300_000]
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [None, "bytes=300000-"]
    site.etag, site.answers = "", 5 * [-10]  # nothing to go on from
    with pytest.raises(RunError, match="no data for"):
        fetch_file(site.url, path, restart=True)


def test_too_long_a_content_length(site: Site, path: Path) -> None:
    site.more = 1
    with pytest.raises(RunError, match="cannot download"):
        fetch_file(site.url, path)
    assert not path.exists() and len(site.asked) <= 2 * downloading.TRIES


def test_no_server(path: Path) -> None:
    with pytest.raises(RunError, match="refused"):
        fetch_file("http://127.0.0.1:1/net.pkl", path)
    assert names(path) == []


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_ever_glued_together(
    data: st.DataObject, server: ThreadingHTTPServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "net.pkl"
    versions = {f'"{number}"': bytes([number]) * 5000 for number in range(3)}
    flags = st.booleans()
    answers = st.lists(st.one_of(st.integers(0, 6000), st.sampled_from(["503", "416"])), max_size=6)
    for _ in range(4):
        etag = data.draw(st.sampled_from(sorted(versions)))
        site = served(
            server, content=versions[etag], etag=etag, ranges=data.draw(flags), conditions=data.draw(flags),
            length=data.draw(st.sampled_from(["told", "chunked"])), answers=data.draw(answers),
        )  # fmt: skip
        try:
            fetch_file(site.url, path)
        except RunError:
            assert not path.exists()
        else:
            assert path.read_bytes() in versions.values()
            break


# Answers that are no file


@pytest.mark.parametrize("status", ["404", "403", "401", "410"])
def test_a_refusal_is_not_asked_again(site: Site, path: Path, status: str) -> None:
    site.answers = [status]
    with pytest.raises(RunError, match=status) as caught:
        fetch_file(site.url, path, elsewhere="get it by hand")
    assert caught.value.hint == "get it by hand" and len(site.asked) == 1 and names(path) == []


def test_a_file_that_goes_away(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    site.answers = ["404"]
    with untouched(path.parent), pytest.raises(RunError, match="404"):
        fetch_file(site.url, path)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json"])
def test_a_page_instead_of_the_file(site: Site, path: Path, kind: str) -> None:
    site.kind = kind
    with pytest.raises(RunError, match="is a web page"):
        fetch_file(site.url, path)
    assert names(path) == []


def test_an_unknown_length(site: Site, path: Path) -> None:
    site.length = "untold"
    with pytest.raises(RunError, match="does not send the file.s length"):
        fetch_file(site.url, path)
    assert names(path) == []


def test_redirects(site: Site, path: Path) -> None:
    interrupted(site, path, 400_000)
    site.answers = ["/elsewhere/net.pkl"]
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == 2 * ["bytes=400000-"]


@pytest.mark.parametrize("there", ["/net.pkl", "file:///etc/hostname"])
def test_redirects_that_lead_nowhere(site: Site, path: Path, there: str) -> None:
    site.answers = 30 * [there]
    with pytest.raises(RunError, match="302") as caught:
        fetch_file(site.url, path)
    assert "\n" not in caught.value.message and names(path) == []


def test_redirects_keep_the_encryption() -> None:
    redirects, headers = downloading.Redirects(), downloading.HTTPMessage()
    secure = Request("https://example.org/a")
    with pytest.raises(RunError, match="unencrypted address: http://example.org/a"):
        redirects.redirect_request(secure, BytesIO(), 302, "", headers, "http://example.org/a")
    onwards = redirects.redirect_request(secure, BytesIO(), 302, "", headers, "https://example.org/b")
    assert onwards and onwards.full_url == "https://example.org/b"


# Hashes


def test_a_wrong_hash(site: Site, path: Path) -> None:
    with pytest.raises(RunError, match=sha256(CONTENT)) as caught:
        fetch_file(site.url, path, sha256(OTHER))
    assert caught.value.hint == f"--sha256 {sha256(CONTENT)} accepts it, --restart downloads it again"
    assert names(path) == ["net.pkl.part", "net.pkl.part.json"]
    site.content, site.etag = OTHER, '"two"'
    assert fetch_file(site.url, path, sha256(CONTENT)) == sha256(CONTENT) and len(site.asked) == 1
    path.unlink()
    assert fetch_file(site.url, path, sha256(OTHER), restart=True) == sha256(OTHER)


def test_a_hash_that_changes(site: Site, path: Path) -> None:
    fetch_file(site.url, path)
    before = state(path.parent)
    site.content, site.etag = OTHER, '"two"'
    with pytest.raises(RunError, match=f"{sha256(OTHER)}, not the one recorded in .*net.pkl.sha256"):
        fetch_file(site.url, path, restart=True)
    assert {name: it for name, it in state(path.parent).items() if ".part" not in name} == before
    fetch_file(site.url, path, sha256(OTHER), restart=True)
    assert path.read_bytes() == OTHER and sha256(OTHER) in path.with_name("net.pkl.sha256").read_text()
    fetch_file(site.url, path)


def test_a_file_that_was_put_there(site: Site, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(OTHER)
    assert fetch_file(site.url, path) == sha256(OTHER) and names(path) == ["net.pkl", "net.pkl.sha256"]
    path.write_bytes(CONTENT)
    with untouched(path.parent), pytest.raises(RunError, match="not the one recorded in"):
        fetch_file(site.url, path)
    path.with_name("net.pkl.sha256").write_text("nonsense")
    with pytest.raises(RunError, match="does not hold a SHA-256"):
        fetch_file(site.url, path)
    assert site.asked == []


def test_no_hash_at_all(site: Site, path: Path) -> None:
    with pytest.raises(InputError, match="'abc' is not a SHA-256"):
        fetch_file(site.url, path, "abc")
    assert site.asked == []


# The disk


def test_no_space(site: Site, path: Path) -> None:
    with largest_file(500_000), pytest.raises(RunError, match="no space left for") as caught:
        fetch_file(site.url, path)
    assert "run the same command again" in caught.value.hint
    assert downloading.partial_path(path).read_bytes() == CONTENT[:500_000]
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [None, "bytes=500000-"]


def test_a_folder_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(InputError, match="cannot write in the folder"):
        fetch_file(site.url, tmp_path / "models" / "net.pkl")
    assert site.asked == []


def test_two_at_once(site: Site, path: Path) -> None:
    with downloading.open_part(path):
        with pytest.raises(RunError, match="is being written by another process"):
            fetch_file(site.url, path)
    fetch_file(site.url, path)
    assert path.read_bytes() == CONTENT and len(site.asked) == 1
