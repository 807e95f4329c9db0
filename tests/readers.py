"""A small file of every kind that gmmedit reads, what reads it, and a process of its own to read damaged ones in.

Run as a program it is that process: a line "KIND TAB PATH" in, a line of JSON out. Every case has SECONDS and MEMORY;
a case that takes more, or starts a program, ends the process.
"""

import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 20
MEMORY = 2 << 30  # bytes of address space that a case may add
DATA = Path(__file__).parent / "data"
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename",
             "subprocess.Popen", "socket.connect", "pty.spawn", "shutil.")  # fmt: skip
BODY = "input: {size: 32}\nactivation: sigmoid\nattributes: {a: {}, b: {}}\n"
CHECKPOINTS = {"tensorflow": "sg2_l_tf4_16.pkl", "rosinality": "rosi_a_32.pt", "genforce": "sefa_pggan_32_fused.pth",
               "biggan": "biggan_deep_64.bin"}  # fmt: skip


def seeds(folder: Path) -> dict[str, Path]:
    """A sound file of every kind."""
    import numpy as np
    import small_artifacts
    import small_generators
    import small_networks
    import torch
    from nvidia_pickles import random_network, write

    from gmmedit import artifacts
    from gmmedit.artifacts import RunSpec
    from gmmedit.classifiers import embedded

    folder.mkdir(exist_ok=True)
    run = small_artifacts.write_samples(folder / "samples.h5")
    whole = RunSpec("single", n=8, config={"space": "z"}, attributes=[("smile", ["no", "yes"])])
    arrays = {"parameters/x": np.ones((4, 3)), "history/step": np.arange(3), "chart/mean": np.zeros(4)}
    artifacts.write_whole(folder / "single.h5", whole, arrays)
    artifacts.save_checkpoint(folder / "mixture.h5", RunSpec("mixture", n=8), {"fit/losses": np.ones(5)})
    (folder / "table.csv").write_text("seed,smile\n" + "".join(f"{i},0.{i}\n" for i in range(9)))
    import h5py

    with h5py.File(folder / "table.h5", "w") as file:
        file["seed"], file["smile"] = np.arange(9), np.linspace(0, 1, 9)
        file.create_dataset("glasses", data=np.linspace(0, 1, 9), compression="gzip", chunks=(3,))
    latents = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)
    np.savez_compressed(folder / "latents.npz", w=latents)
    np.save(folder / "latents.npy", latents)
    torch.save({"image.png": {"latent": torch.from_numpy(latents)}}, folder / "latents.pt")
    (folder / "settings.yaml").write_text("sample: {gan: avatars, n: 600}\nfit_single: {steps: 24, lr: 1.0e-3}\n")
    (folder / "classifier.yaml").write_text(f"file: network.pt2\n{BODY}")
    config = embedded.load_avatars().config
    embedded.save_network(embedded.build_network(config), folder / "classifier.safetensors")
    tiny = {"resolution": 8, "channels": (3, 2), "z_dim": 3, "w_dim": 4, "mapping_layers": 2}
    write(folder / "nvidia.pkl", random_network(**tiny))
    found = {name: Path(shutil.copy(DATA / file, folder)) for name, file in CHECKPOINTS.items()}
    shutil.copy(DATA / "biggan_deep_64.config.json", folder)
    small_networks.export(small_networks.Linear(2).eval(), folder / "network.pt2")
    small_generators.script(small_generators.Painter(), folder / "generator.ts")
    small_generators.to_onnx(small_generators.Painter(), folder / "generator.onnx")
    for name in ("generator.ts", "generator.onnx"):
        (folder / name).with_suffix(".yaml").write_text("z_dim: 6\n")
    torch.manual_seed(0)
    return found | {
        "samples": run, "single": folder / "single.h5", "checkpoint": folder / "mixture.h5.partial",
        "csv": folder / "table.csv", "hdf5 table": folder / "table.h5", "npz": folder / "latents.npz",
        "npy": folder / "latents.npy", "latents": folder / "latents.pt",
        "settings": folder / "settings.yaml", "description": folder / "classifier.yaml",
        "safetensors": folder / "classifier.safetensors", "nvidia": folder / "nvidia.pkl",
        "pt2": folder / "network.pt2", "torchscript": folder / "generator.ts", "onnx": folder / "generator.onnx",
    }  # fmt: skip


def read_artifact(path: Path) -> None:
    from gmmedit import artifacts

    artifacts.describe(path)
    with artifacts.open(path) as artifact:
        for name in artifact.names:
            artifact[name]


def read_generator(path: Path) -> None:
    from gmmedit import generators

    generators.load(str(path))


def read_classifier(path: Path) -> None:
    from gmmedit import classifiers

    classifiers.load(str(path))


def read_network(path: Path) -> None:
    from gmmedit.networks import exported

    exported.load_program(path)


def read_latents(path: Path) -> None:
    from gmmedit.editing.latent_files import list_arrays
    from gmmedit.errors import InputError

    arrays = list_arrays(path, "a hint")
    if not arrays:
        raise InputError("no arrays")
    for read in arrays.values():
        read()


def readers() -> dict[str, Callable[[Path], object]]:
    """What reads each kind."""
    from gmmedit import artifacts, config
    from gmmedit.classifiers.description import Description, read_description

    return {
        **dict.fromkeys([*CHECKPOINTS, "nvidia", "torchscript", "onnx"], read_generator),
        **dict.fromkeys(["csv", "hdf5 table", "safetensors"], read_classifier),
        **dict.fromkeys(["samples", "single"], read_artifact),
        "checkpoint": artifacts.describe,
        **dict.fromkeys(["npz", "npy", "latents"], read_latents),
        "settings": config.load,
        "description": lambda path: read_description(path, Description),
        "pt2": read_network,
    }


def truncated(whole: bytes) -> Iterator[bytes]:
    """At every tenth of its length."""
    for tenth in range(10):
        yield whole[: len(whole) * tenth // 10]


def flipped(whole: bytes, draw: random.Random) -> bytes:
    """One to three bytes changed, half of the time near an end, where the structure is."""
    out = bytearray(whole)
    near = draw.random() < 0.5
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(min(len(out), 2000) if near else len(out))
        place = -1 - place if near and draw.random() < 0.3 else place
        out[place] = draw.randrange(256)
    return bytes(out)


class Reader:
    """The process that reads; a new one where the last has died. `peak` is the most memory that any has used."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.peak = 0

    def started(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            self.process = subprocess.Popen([sys.executable, __file__], text=True, env=environment, **pipes)
            assert self.process.stdout and self.process.stdout.readline() == "ready\n"
        return self.process

    def said(self, kind: str, path: Path) -> str:
        """What reading the file said, "" where it succeeded. AssertionError: a traceback, a death, a hang."""
        process = self.started()
        assert process.stdin and process.stdout
        print(kind, path, sep="\t", file=process.stdin, flush=True)
        ready, _, _ = select.select([process.stdout], [], [], 2 * SECONDS)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            self.close()
            raise AssertionError(f"{kind} {path}: the reader died ({process.returncode}) or hung")
        answer = json.loads(line)
        assert "traceback" not in answer, f"{kind} {path}: {answer['traceback']}"
        self.peak = max(self.peak, answer["peak"])
        said: str = answer["said"]
        assert said.isprintable(), repr(said)
        return said

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin and self.process.stdout
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


@contextmanager
def reader() -> Iterator[Reader]:
    made = Reader()
    try:
        yield made
    finally:
        made.close()


def one(read: Callable[[Path], object], path: Path) -> dict[str, object]:
    from gmmedit.errors import GmmeditError

    said = ""
    try:
        read(path)
    except GmmeditError as error:
        said = f"{error.message}; {error.hint}"
    except BaseException:
        return {"traceback": traceback.format_exc()[-1500:]}
    return {"said": said, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(FORBIDDEN):
        print(event, str(arguments)[:200], *traceback.format_stack()[-4:], file=sys.stderr, flush=True)
        os._exit(66)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # what libraries print is nobody's answer
    os.dup2(2, 1)
    known = readers()
    print("ready", file=answers, flush=True)
    warm: set[str] = set()
    tempfile.gettempdir()  # leaves a file and removes it
    sys.addaudithook(watch)
    for line in sys.stdin:
        kind, _, path = line.rstrip("\n").partition("\t")
        if kind not in warm:  # libraries load on first use
            warm.add(kind)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MEMORY, resource.RLIM_INFINITY))
        signal.alarm(SECONDS)
        answer = one(known[kind], Path(path))
        signal.alarm(0)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
