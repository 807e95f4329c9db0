"""A sweep of strengths as video: `gmmedit edit --alphas ... --video FILE`."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import done, refuse

from gmmedit import artifacts
from gmmedit.pictures.video import LARGEST, WIDEST, make_frame, to_video

av = pytest.importorskip("av", reason="needs the extra `video`: pip install 'gmmedit[video]'")
SWEEP = ("edit", "--attr", "smile", "--polish", 0, "--alphas", "0,0.5,1", "--quiet")


def images(count: int, side: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def frames_of(content: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(content)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("count", "side", "shape"), [(1, 64, (256, 256)), (5, 33, (528, 792)), (2, 1024, (1024, 2048))]
)
def test_frames_are_grids_of_even_size(count: int, side: int, shape: tuple[int, int]) -> None:
    frame = make_frame(images(count, side))
    assert frame.shape == (*shape, 3)
    assert make_frame(images(count, side, 1)).shape == frame.shape


def test_large_frames_are_shrunk() -> None:
    assert max(make_frame(images(1, 1500)).shape) == LARGEST
    assert make_frame(images(9, 1000)).shape[1] <= WIDEST + 3


def test_the_same_frames_give_the_same_bytes() -> None:
    frames = [make_frame(pixels[None]) for pixels in images(4, 32)]
    assert to_video(frames) == to_video(frames)


def test_a_video_runs_there_and_back() -> None:
    levels = (0, 80, 160, 240)
    found = frames_of(to_video([np.full((64, 64, 3), level, np.uint8) for level in levels]))
    assert [round(frame.mean() / 80) for frame in found] == [0, 1, 2, 3, 2, 1]


def test_the_video_of_an_edit(run: Path, tmp_path: Path) -> None:
    video = tmp_path / "new" / "out.mp4"
    words = (*SWEEP, "--run", run, "--out", tmp_path, "--seeds", "3,4", "--video", video)
    done(*words)
    first = video.read_bytes()
    with artifacts.open(tmp_path / "edits.h5") as edits:
        wanted = [make_frame(after) for after in edits["images_after"]]
    found = frames_of(first)
    assert len(found) == 4
    for shown, frame in zip(found, [*wanted, wanted[1]], strict=True):
        assert np.abs(shown.astype(int) - frame).mean() < 4
    done(*words)
    assert video.read_bytes() == first


def test_the_video_of_own_latents(run: Path, tmp_path: Path) -> None:
    with artifacts.open(run / "samples.h5") as samples:
        np.savez(tmp_path / "projected_w.npz", w=samples["w"][:1])
    video = tmp_path / "out.mp4"
    done(*SWEEP, "--run", run, "--out", tmp_path, "--latents", tmp_path / "projected_w.npz", "--video", video)
    assert frames_of(video.read_bytes())[0].shape == (256, 256, 3)


def test_what_is_refused_before_any_work(run: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "mine.mp4"
    foreign.write_bytes(b"a film of somebody")
    words = ("--polish", 0, "--out", tmp_path / "out", "--attr", "smile")
    sweep = (*words, "--alphas", "0,1")
    refuse(run, "edit", *sweep, "--video", "out.avi", says=("out.avi: a video is an MP4 file", "--video out.mp4"))
    refuse(run, "edit", *sweep, "--video", foreign, says=("is not a video of gmmedit", "choose another name"))
    refuse(run, "edit", *sweep, "--video", tmp_path, says=(f"{tmp_path}: a video is an MP4 file",))
    refuse(run, "edit", *words, "--video", "out.mp4", says=("--video needs several strengths", "--alphas 0:1:0.05"))
    assert foreign.read_bytes() == b"a film of somebody" and not (tmp_path / "out").exists()


def test_without_pyav(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    words = ("--attr", "smile", "--alphas", "0,1", "--out", tmp_path, "--video", tmp_path / "out.mp4")
    refuse(run, "edit", *words, says=("a video needs the package av", "pip install 'gmmedit[video]'"))
