"""What a stranger's file must not be able to do: hang, fill the memory, reach other files, run a program."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import small_networks as small
import torch
from conftest import check, done, gmmedit, refuse
from small_artifacts import write_samples
from small_generators import module
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution

BODY = "input: {size: 32}\nactivation: sigmoid\nattributes: {a: {}, b: {}}\n"
OWN = "import torch\ndef load(): return lambda x: 9 * (x.mean([2, 3])[:, :2] - 0.5)\n"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


# Files that are none


@pytest.mark.timeout(60)
@pytest.mark.parametrize("special", ["pipe", "/dev/zero", "folder"])
def test_only_regular_files_are_opened(special: str, run: Path, pipe: Path, tmp_path: Path) -> None:
    path = {"pipe": pipe, "folder": tmp_path / "folder"}.get(special, Path(special))
    (tmp_path / "folder").mkdir()
    yaml = tmp_path / "c.yaml"
    yaml.write_text(f"file: {path}\n{BODY}")
    refuse(run, "sample", "--gan", path, "--force", says=(str(path),))
    refuse(run, "sample", "--config", path, says=(f"cannot read {path}",))
    refuse(run, "label", "--classifier", path, "--force", says=(str(path),))
    refuse(run, "label", "--classifier", yaml, "--force", says=(str(path),))
    refuse(run, "edit", "--attr", "smile", "--latents", path, says=(f"cannot read {path}",))
    check(gmmedit("inspect", path), str(path))


def test_a_pipe_in_the_place_of_an_artifact(own_run: Path) -> None:
    (own_run / "samples.h5").unlink()
    os.mkfifo(own_run / "samples.h5")
    refuse(own_run, "label", says=("samples.h5",))


@pytest.mark.parametrize("name", ["a\\0b.pt2", "a\\0b.py:load", "a\\0b", "\\e[31ma.pt2", "a\\nb.onnx"])
def test_names_that_are_no_names(name: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f'file: "{name}"\n{BODY}')
    refuse(run, "label", "--classifier", tmp_path / "c.yaml", "--force", says=("error: ",))
    (tmp_path / "s.yaml").write_text(f'sample: {{gan: "{name}"}}\n')
    refuse(run, "sample", "--config", tmp_path / "s.yaml", "--force", says=("error: ",))


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "/dev/zero", "a\0b", "pipe"])
def test_an_onnx_file_keeps_its_tensors_in_its_own_folder(place: str, pipe: Path, tmp_path: Path) -> None:
    path = small.onnx(small.Linear(2), tmp_path / "net.onnx")
    entry = b"\n\x08location\x12" + bytes([len(place)]) + place.encode()
    for tag in b"\x6a\x2a\x3a":  # external data of a tensor of the graph
        entry = bytes([tag, len(entry)]) + entry
    path.write_bytes(path.read_bytes() + entry)
    (tmp_path / "c.yaml").write_text(f"file: net.onnx\n{BODY}")
    with pytest.raises(InputError, match=r"outside its folder|pipe or a device"):
        classifiers.load(str(tmp_path / "c.yaml"))


# Sizes


def test_yaml_that_swells(run: Path, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    path = tmp_path / "bomb.yaml"
    for head in ("", "file: net.pt2\n", "sample: {gan: avatars}\n"):
        path.write_text(head + "\n".join(lines))
        refuse(run, "sample", "--config", path, says=("aliases (*name) are not supported",))
        refuse(run, "label", "--classifier", path, says=("aliases (*name) are not supported",))
    path.write_text("a: 1\n" * 100_000)
    refuse(run, "sample", "--config", path, says=("bytes, at most",))


def test_an_npz_that_swells(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    header = str({"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 128)}).ljust(117).encode() + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("w.npy", "w") as member:
        member.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        for _ in range(512):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    refuse(run, "edit", "--attr", "smile", "--latents", path, says=("bytes, the limit is 268435456",))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4096))
    refuse(run, "edit", "--attr", "smile", "--latents", path, says=("an array of 536870912 bytes",))
    with zipfile.ZipFile(path, "w") as archive:
        short = header.replace(b"(1048576, 128)", b"(80, 128)     ")
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + short + bytes(4096))
    refuse(run, "edit", "--attr", "smile", "--latents", path, says=("cannot be read as npz", "it holds"))


def test_archives_that_swell(tmp_path: Path) -> None:
    for name in ("net.pt2", "net.ts"):
        make = small.export if name.endswith("2") else small.script
        path = make(small.Linear(2).eval(), tmp_path / name)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            top = archive.namelist()[0].split("/")[0]
            with archive.open(f"{top}/extra/x.json" if name.endswith("2") else f"{top}/code/x.py", "w") as member:
                for _ in range(100):
                    member.write(b" " * (1 << 20))
        (tmp_path / "c.yaml").write_text(f"file: {name}\n{BODY}")
        with pytest.raises(InputError, match="unpacks to"):
            classifiers.load(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize("setting", ["size: 4096", "size: 32, resize: 4096", "size: [32, 100000]"])
def test_pictures_without_bounds(setting: str, tmp_path: Path) -> None:
    small.script(small.Linear(2), tmp_path / "net.ts")
    (tmp_path / "c.yaml").write_text(f"file: net.ts\n{BODY.replace('size: 32', setting)}")
    with pytest.raises(InputError, match="less than or equal to 1024"):
        classifiers.load(str(tmp_path / "c.yaml"))


def test_an_oblong_picture_without_bounds() -> None:
    from gmmedit.classifiers.preprocessing import Preprocessing

    with pytest.raises(InputError, match="would become 1024 x 65536") as caught:
        Preprocessing(size=(32, 32), edge=1024)(torch.zeros(1, 3, 4, 256))
    assert "1024" in caught.value.hint


@pytest.mark.parametrize("line", ["z_dim: 134217728", "z_dim: 6\nn_classes: 134217728"])
def test_latents_without_bounds(line: str, tmp_path: Path) -> None:
    from small_generators import Painter, script

    path = script(Painter(), tmp_path / "g.ts")
    path.with_suffix(".yaml").write_text(line)
    with pytest.raises(InputError, match="less than or equal to 65536"):
        generators.load(str(path))


# HDF5


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((10, 4), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "z", (10, 4))
    file.create_virtual_dataset("z", layout)


HOSTILE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "external link": (lambda it: it.__setitem__("z", h5py.ExternalLink("other.h5", "/z")), "is a link"),
    "soft link": (lambda it: it.__setitem__("z", h5py.SoftLink("/y")), "is a link"),
    "virtual": (virtual, "keeps its data in another file"),
    "external": (
        lambda it: it.create_dataset("z", (10, 4), "<f4", external=[("/etc/passwd", 0, 160)]), "another file",
    ),
    "filtered": (lambda it: it.create_dataset("z", (10, 4), "<f4", compression="gzip"), "compressed or filtered"),
    "huge": (lambda it: it.create_dataset("z", (1 << 40, 1 << 20), "<f4", chunks=(1, 4)), "numbers and has 0 bytes"),
    "never written": (lambda it: it.create_dataset("z", (10, 4), "<f4"), "numbers and has 0 bytes"),
    "texts": (lambda it: it.create_dataset("z", data=np.array([["a"] * 4] * 10, "S1")), "instead of numbers"),
    "objects": (lambda it: it.create_dataset("z", (10, 4), h5py.string_dtype()), "instead of numbers"),
    "references": (lambda it: it.create_dataset("z", (10, 4), h5py.ref_dtype), "instead of numbers"),
    "wrong shape": (lambda it: it.create_dataset("z", data=np.zeros((10, 5), "<f4")), "has shape (10, 5)"),
    "wrong numbers": (lambda it: it.create_dataset("z", data=np.zeros((10, 4), "<i8")), "is int64, f4 was expected"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_artifact_holds(what: str, tmp_path: Path) -> None:
    change, says = HOSTILE[what]
    path = write_samples(tmp_path / "samples.h5")
    with h5py.File(path, "r+") as file:
        file["y"] = file["z"]
        del file["z"]
        change(file)
    with pytest.raises(InputError) as caught:
        artifacts.open(path, "samples")
    assert says in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize(("name", "value"), [
    ("config", np.zeros(20_000, "u1")), ("config", b"a: &a [1]\nb: [*a, *a]"), ("n", np.bytes_(b"ten")),
    ("sizes", np.bytes_(b"[" * 5000)), ("extra", np.bytes_(b"\xff\xfe")), ("schema_version", 1e300),
    ("kind", "samples"),
])  # fmt: skip
def test_attributes_that_are_none(name: str, value: object, tmp_path: Path) -> None:
    path = write_samples(tmp_path / "samples.h5")
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value
    with pytest.raises(InputError, match="not an artifact") as caught:
        artifacts.open(path, "samples")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("what", ["huge", "virtual", "external", "filter"])
def test_tables_that_lead_elsewhere(what: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.h5"
    with h5py.File(path, "w") as file:
        if what == "huge":
            file.create_dataset("smile", (10**13,), "f8", chunks=(1000,))
        elif what == "external":
            file.create_dataset("smile", (10,), "f8", external=[("/etc/passwd", 0, 80)])
        elif what == "filter":
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            layout.set_chunk((10,))
            layout.set_filter(32001, h5py.h5z.FLAG_OPTIONAL)
            space = h5py.h5s.create_simple((10,))
            h5py.h5d.create(file.id, b"smile", h5py.h5t.IEEE_F64LE, space, dcpl=layout)
        else:
            layout_ = h5py.VirtualLayout((10,), "f8")
            layout_[:] = h5py.VirtualSource("/etc/passwd", "x", (10,))
            file.create_virtual_dataset("smile", layout_)
    with pytest.raises(InputError, match=r"no columns|the limit is"):
        classifiers.load(str(path))


# Programs


class Endless(small.Linear):
    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() < 1e30):
            x = x * 1
        return self.outputs(x)


class Counting(small.Linear):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(9_000_000_000_000):
            x = x * 1
        return self.outputs(x)


@pytest.mark.parametrize("network", [Endless, Counting])
def test_a_torchscript_that_never_ends(network: type[small.Linear], tmp_path: Path) -> None:
    small.script(network(2), tmp_path / "net.ts")
    (tmp_path / "c.yaml").write_text(f"file: net.ts\n{BODY}")
    with pytest.raises(InputError, match="has a loop that may never end"):
        classifiers.load(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize(("text", "says"), [
    ("x.mean([2, 3])[:, :2] + torch.arange(len(x))[:, None]", "at another position"),
    ("x.mean([2, 3])[:, :2] + torch.rand(len(x), 1)", "at another position, or in each call"),
    ("x.mean([2, 3])[:5, :2]", "for 16 images"),
])  # fmt: skip
def test_answers_that_depend_on_the_batch(text: str, says: str, own_run: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"import torch\ndef load(): return lambda x: {text}\n")
    (tmp_path / "c.yaml").write_text(f"file: own.py:load\n{BODY}")
    check(gmmedit("label", "--run", own_run, "--classifier", tmp_path / "c.yaml", "--force"), says)


@pytest.mark.parametrize(("text", "says"), [
    ("class load(Own):\n    def __init__(self):\n        super().__init__()\n        self.double()", "same dtype"),
    ("class load(Own):\n    def map(self, z, *_): return super().map(z).double()", "returns w float64 [2, 5]"),
    ("class load(Own):\n    def synthesize(self, w): return super().synthesize(w.float()).double()", "images float64"),
    ("class load(Own):\n    def synthesize(self, w): return super().synthesize(w)[:1]", "images float32 [1, 3, 8, 8]"),
    ("class load(Painter):\n    def forward(self, z):\n        return Painter.forward(self, z) + torch.arange(len(z))"
     "[:, None, None, None]", "another image for the same latent"),
])  # fmt: skip
def test_generators_that_compute_otherwise(text: str, says: str, run: Path, tmp_path: Path) -> None:
    refuse(run, "sample", "--gan", module(tmp_path / "bad.py", text), "--force", says=(says,))


def test_a_broken_program_leaves_one_line(tmp_path: Path, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = small.export(small.Linear(2).eval(), tmp_path / "net.pt2")
    with zipfile.ZipFile(path) as old:
        records = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in records.items():
            new.writestr(name, content.replace(b"aten.linear", b"aten.nosuch"))
    (tmp_path / "c.yaml").write_text(f"file: net.pt2\n{BODY}")
    capfd.readouterr()
    refuse(
        run,
        "label",
        "--classifier",
        tmp_path / "c.yaml",
        "--force",
        says=("net.pt2 cannot be read as exported network",),
    )
    assert capfd.readouterr().err == ""


def received(own_run: Path, tmp_path: Path) -> tuple[Path, str]:
    """A run whose artifacts name Python files that nobody here has named: they come from somebody else."""
    evil = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    name = module(tmp_path / "theirs.py", evil + "load = Painter\n")
    (tmp_path / "f.py").write_text(evil + OWN)
    (tmp_path / "f.yaml").write_text(f"file: f.py:load\n{BODY}")
    done("sample", "--run", own_run, "--gan", name, "-n", 40, "--force")
    done("label", "--run", own_run, "--classifier", tmp_path / "f.yaml", "--force")
    (tmp_path / "ran").unlink()
    Path(os.environ["GMMEDIT_STATE"], "trusted").unlink()
    return tmp_path / "ran", name


def test_python_that_only_an_artifact_names_does_not_run(own_run: Path, tmp_path: Path) -> None:
    ran, name = received(own_run, tmp_path)
    words = ["label", "--classifier", "avatars", "--force"]
    refuse(own_run, *words, says=("theirs.py is a program that is named by a file", "--trust runs it"))
    assert not ran.exists()
    done(*words[:1], "--run", own_run, *words[1:], "--trust")
    assert ran.exists()
    for path in (ran, own_run / "labels.h5"):
        path.unlink()
    done(*words[:1], "--run", own_run, *words[1:])  # trusted from now on
    assert ran.exists()
    for path in (ran, own_run / "labels.h5"):
        path.unlink()
    path = Path(name.removesuffix(":load"))
    path.write_text(path.read_text() + "# changed\n")
    refuse(own_run, *words, says=("theirs.py is a program that has changed since you named it",))
    assert not ran.exists()


def test_a_classifier_that_only_an_artifact_names_does_not_run(own_run: Path, tmp_path: Path) -> None:
    ran, _ = received(own_run, tmp_path)
    with RunFolder(own_run, Execution()) as folder:
        with pytest.raises(InputError, match=r"f\.py is a program that is named by a file of the run"):
            assert folder.classifier
        assert not ran.exists()
        classifiers.load(str(tmp_path / "f.yaml"))  # the user names it
        assert folder.classifier.fingerprint


def test_a_home_that_cannot_be_written_asks_each_time(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name = received(own_run, tmp_path)
    monkeypatch.setenv("GMMEDIT_STATE", str(tmp_path / "ran-file"))
    (tmp_path / "ran-file").write_text("a file where the folder should be")
    done("sample", "--run", own_run, "--gan", name, "-n", 40, "--force")
    refuse(own_run, "label", "--classifier", "avatars", "--force", says=("--trust runs it",))
    done("label", "--run", own_run, "--classifier", "avatars", "--force", "--trust")


def test_a_compiled_program_beside_the_trusted_one_does_not_run(tmp_path: Path) -> None:
    import importlib.util
    import py_compile

    path, ran = tmp_path / "own.py", tmp_path / "ran"
    other = tmp_path / "other.py"
    other.write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n{OWN}")
    path.write_text(OWN)
    cached = importlib.util.cache_from_source(str(path))
    py_compile.compile(str(other), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    (tmp_path / "c.yaml").write_text(f"file: own.py:load\n{BODY}")
    assert len(classifiers.load(str(tmp_path / "c.yaml")).attributes) == 2
    assert not ran.exists()
