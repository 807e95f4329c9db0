"""Folders that cannot be written and disks that fill up: one clear line, and finished work is kept."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import check, done, gmmedit, refuse, state, untouched
from small_training import tiny_training  # noqa: F401  a fixture

from gmmedit.errors import InputError
from gmmedit.runtime import cost

FULL = ("no space left for", "free some space and run the same command again")


def test_a_run_folder_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run"
    file.write_text("no folder")
    with untouched(tmp_path):
        check(gmmedit("sample", "--run", file, "-n", 3), f"cannot write in the folder {file}", "choose another folder")
        check(gmmedit("label", "--run", file), "samples.h5 does not exist")
        check(gmmedit("fit-single", "--run", file / "deeper"), "does not exist")


@pytest.mark.parametrize("network", ["generator", "classifier"])
def test_training(tmp_path: Path, network: str) -> None:
    (tmp_path / "out").write_text("no folder")
    with untouched(tmp_path):
        words = ("train", network, "--out")
        says = (f"cannot write in the folder {tmp_path}/out: ", "choose another folder")
        check(gmmedit(*words, tmp_path / "out"), *says)
        check(gmmedit(*words, tmp_path / "new", "--device", "foo"), "cannot use device 'foo'", "--device cpu")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: what a full disk is like, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("tiny_training")
@pytest.mark.parametrize("size", [0, 5_000])
def test_a_disk_that_fills_while_a_network_is_trained(tmp_path: Path, size: int) -> None:
    words = ("train", "classifier", "--out")
    with largest_file(size):
        check(gmmedit(*words, tmp_path / "new"), "no space left for", "classifier.safetensors", FULL[1], code=1)
    for folder in ("new", "undisturbed"):
        done(*words, tmp_path / folder)
    resumed, whole = (tmp_path / folder / "classifier.safetensors" for folder in ("new", "undisturbed"))
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("tiny_training")
def test_a_folder_that_goes_away_while_a_network_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmmedit.training import classifier as training

    monkeypatch.setattr(training, "move_average", lambda *_: shutil.rmtree(tmp_path / "out"))
    says = (f"cannot write in the folder {tmp_path}/out: no such file", "choose another folder")
    check(gmmedit("train", "classifier", "--out", tmp_path / "out"), *says)


def test_what_the_system_refuses_is_one_line(run: Path, tmp_path: Path) -> None:
    long = 300 * "x"  # longer than a file's name may be
    refuse(run, "sample", "--gan", f"{long}.safetensors", says=("operating system error", "File name too long"), code=1)
    refuse(run, "label", "--classifier", f"{long}.safetensors", says=("operating system error",), code=1)
    check(gmmedit("label", "--run", tmp_path / long), "operating system error", "File name too long", code=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_one_line(run: Path) -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-u", "-m", "gmmedit", "inspect", str(run / "single.h5"), "--json"]
        result = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    first, second = result.stderr.splitlines()
    assert result.returncode == 1 and first == "error: operating system error: No space left on device"
    assert second == " hint: --debug shows where"


def test_a_result_folder_that_is_a_file(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    words = ("--attr", "smile", "--index", "0", "--polish", 0, "--out")
    refuse(run, "edit", *words, tmp_path / "out", says=("cannot write in the folder",))
    (tmp_path / "edits").write_text("no folder")
    check(gmmedit("edit", "--run", run, *words, tmp_path), "cannot write in the folder", "edits")


def test_pictures_that_no_longer_fit(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", 0, "--polish", 0)
    with largest_file(4_096):
        check(gmmedit(*words), "no space left for", "edits.h5", FULL[1], code=1)
    done(*words)
    before = (tmp_path / "edits.h5").read_bytes()
    with largest_file(4_096):
        check(gmmedit(*words), "no space left for", "sheet.png", FULL[1], code=1)
    assert (tmp_path / "edits.h5").read_bytes() == before


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of its own, where the system permits that."""
    folder.mkdir(exist_ok=True)
    result = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"mount is not permitted here: {result.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as on Linux")
def test_a_read_only_run_folder(own_run: Path, tmp_path: Path) -> None:
    (own_run / "single.h5").unlink()
    with mounted(tmp_path / "mount", "--bind", str(own_run)) as folder:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        refuse(folder, "fit-single", "--steps", 2, says=(f"cannot write in the folder {folder}: read-only",))
        refuse(folder, "label", "--force", "--classifier", "avatars-eval", says=("cannot write in the folder",))
        refuse(folder, "edit", "--attr", "smile", says=("cannot write in the folder",))


def fill(folder: Path, spare: int) -> Path:
    """Take up the space of a small file system until about `spare` bytes are left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with ballast.open("r+b") as file:
        file.truncate(max(ballast.stat().st_size - spare, 0))
    return ballast


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as on Linux")
@pytest.mark.parametrize("spare", [0, 4096, 40_960])
def test_a_full_disk(run: Path, settings: Path, tmp_path: Path, spare: int) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1500k", "none") as disk:
        for name in ("samples.h5", "labels.h5"):
            (disk / name).write_bytes((run / name).read_bytes())
        finished = state(disk)
        ballast = fill(disk, spare)
        again = ("--config", settings, "--run", disk)
        check(gmmedit("fit-single", *again), *FULL, code=1)
        check(gmmedit("sample", *again, "--force", "--psi", 0.5), *FULL, code=1)
        assert {name: it for name, it in state(disk).items() if name in finished} == finished
        ballast.unlink()
        (disk / "samples.h5.partial").unlink(missing_ok=True)
        done("fit-single", *again)
        assert (disk / "single.h5").read_bytes() == (run / "single.h5").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as on Linux")
def test_a_disk_that_fills_while_pictures_are_written(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--attr", "smile", "--index", "0-1", "--polish", 0, "--out")
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=400k", "none") as disk:
        done(*words, disk)
        before = (disk / "edits.h5").read_bytes()
        for path in (disk / "edits").iterdir():
            path.unlink()
        fill(disk, 4096)
        check(gmmedit(*words, disk), *FULL, code=1)
        assert (disk / "edits.h5").read_bytes() == before
        check(gmmedit(*words, disk, "--alpha", 0.5), *FULL, code=1)
        assert (disk / "edits.h5").read_bytes() == before


# What stands in the place of a file that gmmedit writes, in a run folder from elsewhere


@pytest.mark.parametrize("name", ["labels.h5.lock", "labels.h5.partial", "gmmedit.log"])
def test_nothing_is_written_through_a_link(own_run: Path, tmp_path: Path, name: str) -> None:
    key, link = tmp_path / "key", own_run / name
    key.write_text("secret")
    (own_run / "labels.h5").unlink()
    link.unlink(missing_ok=True)
    link.symlink_to(key)
    check(gmmedit("label", "--run", own_run), f"{link} is a symbolic link", "remove it")
    assert key.read_text() == "secret"


def test_drafts_replace_the_links_in_their_place(own_run: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    (own_run / "edits.h5.partial.tmp").symlink_to(key)
    done("edit", "--run", own_run, "--attr", "smile", "--index", 0, "--polish", 0)
    (own_run / "costs.jsonl.tmp").symlink_to(key)
    cost.write_cost(own_run, "single", cost.Cost(1.0, 1.0))
    assert key.read_text() == "secret"
    assert not any((own_run / name).is_symlink() for name in ("edits.h5", cost.FILE))


def test_costs_and_images_are_not_written_through_links(own_run: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "image_0.png").write_text("mine")
    (own_run / "edits").symlink_to(pictures)
    words = ("--attr", "smile", "--index", 0, "--polish", 0)
    refuse(own_run, "edit", *words, says=(f"{own_run}/edits is a symbolic link", "remove it"))
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    done("edit", "--run", own_run, *words, "--out", tmp_path / "out")
    assert [path.name for path in pictures.iterdir()] == ["image_0.png"]
    (own_run / cost.FILE).unlink(missing_ok=True)
    (own_run / cost.FILE).symlink_to(pictures / "image_0.png")
    with pytest.raises(InputError, match=f"{cost.FILE} is a symbolic link"):
        cost.write_cost(own_run, "single", cost.Cost(1.0, 1.0))


@pytest.mark.parametrize("name", ["labels.h5.lock", "labels.h5.partial", "labels.h5.partial.tmp"])
def test_a_folder_in_the_place_of_a_file_is_named(own_run: Path, name: str) -> None:
    (own_run / "labels.h5").unlink()
    (own_run / name).mkdir()
    refuse(own_run, "label", says=(f"{own_run}/{name} is a folder", "remove it"))


def test_a_folder_in_the_place_of_the_costs_is_named(tmp_path: Path) -> None:
    (tmp_path / cost.FILE).mkdir()
    with pytest.raises(InputError, match=f"{tmp_path}/{cost.FILE} is a folder"):
        cost.write_cost(tmp_path, "single", cost.Cost(1.0, 1.0))
