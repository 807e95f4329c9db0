"""Hostile pickles: nothing in them runs, memory stays bounded, and each is refused in one line.

The files are read in a process of their own, under an audit hook that ends it at once if anything is executed,
started, imported or opened for writing, and under a limit on memory.
"""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia_pickles import Persistent, node, random_network, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory by RLIMIT_AS")

DATA = Path(__file__).parent / "data"
TINY = {"resolution": 8, "channels": (3, 2), "z_dim": 3, "w_dim": 4, "mapping_layers": 2}
MEMORY = 1 << 30  # bytes of address space that reading hostile files may add
MUTATIONS = 1000

GUARD = """
import encodings.cp437, json, os, resource, sys, traceback
from pathlib import Path
from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.generators.formats.unpickling import explained, read_pickle, read_torch

FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove",
             "os.rename", "os.mkdir", "os.putenv", "subprocess.Popen", "socket.", "pty.spawn", "ctypes.", "shutil.",
             "tempfile.", "pickle.find_class", "marshal.", "code.__new__", "sys.set")

def watch(event, arguments):
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event.startswith(FORBIDDEN):
        print(event, str(arguments)[:100], *traceback.format_stack()[-6:], file=sys.stderr)
        os._exit(66)

def read_all(path):
    with explained(Path(path)):
        content = read_torch(Path(path))
        for value in content.values() if isinstance(content, dict) else ():
            if hasattr(value, "read"):
                value.read()

def message(reader, path):
    try:
        reader(path)
        return ""
    except InputError as error:
        return error.message

warm, paths = sys.argv[1], json.load(sys.stdin)
for reader in (load, read_all):  # so that everything they import is imported
    message(reader, warm)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
sys.addaudithook(watch)
print(json.dumps([message(read_all if path.endswith(".pt") else load, path) for path in paths]), flush=True)
os._exit(0)  # what torch does at its end is not watched
"""


def said(*paths: Path) -> list[str]:
    """What reading each file said, "" where it succeeded: `load` of a .pkl, every tensor of a .pt."""
    command = [sys.executable, "-c", GUARD.replace("MEMORY", str(MEMORY)), str(DATA / "sg2_d_orig16gray.pkl")]
    result = subprocess.run(command, input=json.dumps(list(map(str, paths))), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout)


class Call:
    """Pickles as the call of a function, with a state to set afterwards."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments, self.state


def opcodes(*parts: bytes | str | int) -> bytes:
    """A pickle of protocol 4 by hand: bytes as they are, text and numbers as their opcodes."""
    out = [b"\x80\x04"]
    for part in parts:
        if isinstance(part, str):
            out.append(b"X" + struct.pack("<I", len(part.encode())) + part.encode())
        else:
            out.append(b"J" + struct.pack("<i", part) if isinstance(part, int) else part)
    return b"".join([*out, b"."])


def test_the_guard_itself_notices(tmp_path: Path) -> None:
    for line in ("eval('1')", "open(os.devnull, 'w')"):
        script = GUARD.replace("MEMORY", str(MEMORY)).replace("print(json", f"{line}\nprint(json")
        command = [sys.executable, "-c", script, str(DATA / "sg2_d_orig16gray.pkl")]
        result = subprocess.run(command, input=b"[]", capture_output=True)
        assert result.returncode == 66, line


def test_functions_are_refused_by_name(tmp_path: Path) -> None:
    touch = f"touch {tmp_path}/ran"
    calls = {
        "posix.system": Call(os.system, touch),
        "builtins.eval": Call(eval, f"open('{tmp_path}/ran', 'w')"),
        "builtins.exec": Call(exec, f"open('{tmp_path}/ran', 'w')"),
        "builtins.getattr": Call(getattr, [], "append"),
        "builtins.__import__": Call(__import__, "antigravity"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", f"{tmp_path}/ran"]),
        "io.open": Call(io.open, f"{tmp_path}/ran", "w"),
        "torch.serialization.load": Call(torch.load, f"{tmp_path}/ran"),
    }
    paths, expected = [], []
    for protocol in (2, 3, 4, 5):
        for name, call in calls.items():
            for content in (call, {"G_ema": call}, OrderedDict(a=[(call,)])):
                path = tmp_path / f"{len(paths)}.pkl"
                path.write_bytes(pickle.dumps(content, protocol))
                paths.append(path)
                expected.append(name)
        path = tmp_path / f"{len(paths)}.pkl"
        paths.append(write(path, random_network(**TINY), protocol, D=Call(os.system, touch)))
        expected.append("posix.system")
    for text, path, name in zip(said(*paths), paths, expected, strict=True):
        asked = text.removeprefix(f"{path} asks for ").removesuffix(", which no network needs; nothing of it was run")
        module, _, attribute = name.rpartition(".")
        python2 = {"builtins": "__builtin__", "subprocess": "commands"}.get(module, module)
        assert asked in (name, f"{python2}.{attribute}"), text
    assert not (tmp_path / "ran").exists()


def nested(tmp_path: Path, evil: object) -> list[Persistent]:
    """Networks whose weights' storages are torch.save streams with something evil in each of their places."""
    out = []
    for place in range(5):
        parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, "storage", ["0"]]
        parts[place] = evil
        stream = b"".join(pickle.dumps(part, 2) for part in parts)
        network = random_network(**TINY)
        whole = node(network, network.config)
        storage = Call(torch.storage._load_from_bytes, stream)
        tensor = Call(torch._utils._rebuild_tensor_v2, storage, 0, (4,), (1,), False, OrderedDict())
        whole.meta["state"]["_modules"]["mapping"].meta["state"]["_buffers"]["w_avg"] = tensor
        out.append(whole)
    return out


def test_code_in_nested_storages(tmp_path: Path) -> None:
    evil = Call(os.system, f"touch {tmp_path}/ran")
    network = random_network(**TINY)
    paths = [
        write(tmp_path / f"{place}.pkl", network, G_ema=whole) for place, whole in enumerate(nested(tmp_path, evil))
    ]
    texts = said(*paths)
    assert all("asks for posix.system" in text for text in texts[:1])
    assert all(text.startswith(str(path)) and "\n" not in text for text, path in zip(texts, paths, strict=True))
    assert not (tmp_path / "ran").exists()


def test_code_in_torch_files(tmp_path: Path) -> None:
    evil = {"weights": torch.zeros(3), "run": Call(os.system, f"touch {tmp_path}/ran")}
    paths = [tmp_path / "zip.pt", tmp_path / "old.pt"]
    for path, is_zip in zip(paths, (True, False), strict=True):
        torch.save(evil, path, _use_new_zipfile_serialization=is_zip)
    squeezed = tmp_path / "squeezed.pt"
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x00" * (1 << 27))
    script = tmp_path / "script.pt"
    torch.save({}, script)
    with zipfile.ZipFile(script, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("script/data.pkl", pickle.dumps(evil["run"], 2))
    texts = said(*paths, squeezed, script)
    assert all("asks for posix.system" in text for text in (*texts[:2], texts[3]))
    assert "compressed zip" in texts[2]
    assert not (tmp_path / "ran").exists()


def test_states_do_not_reach_into_objects(tmp_path: Path) -> None:
    state = {"__class__": 1, "build": 2, "read": 3, "open": 4, "__dict__": {}}
    name = b"ccollections\nOrderedDict\n"
    hostile = {
        "a class": opcodes(name, b"}", b"(", "__init__", b"N", b"u", b"b"),
        "slots of a class": opcodes(name, b"N", b"}", b"(", "__call__", name, b"u", b"\x86", b"b"),
        "a list": opcodes(b"]", b"}", b"b"),
        "a number": opcodes(7, b"}", b"b"),
        "a dtype": opcodes(b"cnumpy\ndtype\n", "f4", b"\x85R", b"(", *([b"N"] * 2), b"t", b"b"),
        "a numpy array": opcodes(b"cnumpy.core.multiarray\n_reconstruct\n)R", b"}", b"b"),
        "a namespace whose state is a list": opcodes(b"cargparse\nNamespace\n)\x81", b"]", b"b"),
        "a call of a number": opcodes(7, b")", b"R"),
        "a call of a name that is only a name": opcodes(b"cnumpy\nndarray\n)", b"R"),
        "a call of an object": opcodes(name, b")R", b")", b"R"),
        "an append to a dictionary": opcodes(b"}", b"N", b"a"),
        "an item of a list": opcodes(b"]", b"(", "a", b"N", b"u"),
    }
    paths = []
    for words, content in hostile.items():
        path = tmp_path / f"{words}.pkl"
        path.write_bytes(content)
        paths.append(path)
    network = random_network(**TINY)
    whole = node(network, network.config)
    whole.meta["state"].update(state)
    harmless = write(tmp_path / "harmless.pkl", network, G_ema=whole)
    texts = said(*paths, harmless, DATA / "sg2_d_orig16gray.pkl")
    assert texts[-2:] == ["", ""], "a state stays a dictionary, and the next file is read as ever"
    for text, path in zip(texts, paths, strict=False):
        assert text.startswith(str(path)) and "\n" not in text, text


def with_tensor(path: Path, offset: Any, size: Any, stride: Any) -> Path:
    """A network whose w_avg is that view of a storage of four numbers."""
    network = random_network(**TINY)
    whole = node(network, network.config)
    storage = torch.zeros(4).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    tensor = Call(torch._utils._rebuild_tensor_v2, typed, offset, size, stride, False, OrderedDict())
    whole.meta["state"]["_modules"]["mapping"].meta["state"]["_buffers"]["w_avg"] = tensor
    return write(path, network, G_ema=whole)


@pytest.mark.parametrize(("offset", "size", "stride"), [
    (0, (4,), (-1,)), (0, (-4,), (1,)), (-1, (4,), (1,)), (1, (4,), (1,)), (0, (4,), (2,)), (0, (4,), (1 << 62,)),
    (0, (1 << 62,), (0,)), (0, (1 << 39, 1 << 39), (0, 0)), (0, (4, 4), (0, 1)), (0, (4,), (1, 1)), (0, (4.0,), (1,)),
    (None, (4,), (1,)), (0, [4], [1]), (1 << 80, (4,), (1,)), (0, (1,) * 60, (1,) * 60), (0, "ab", "cd"),
    (True, (4,), (1,)), (0, (4,), ((4,),)),
])  # fmt: skip
def test_views_outside_their_storage(offset, size, stride, tmp_path):
    path = with_tensor(tmp_path / "g.pkl", offset, size, stride)
    from gmmedit.errors import InputError
    from gmmedit.generators import load

    with pytest.raises(InputError, match="g.pkl"):
        load(str(path))


def modules(levels: int, *names: str) -> bytes:
    """A pickle of modules inside modules, each the child of the next under every one of the names."""
    out = b"\x80\x04N\x94"
    for level in range(levels):
        inner = b"".join(text(name) + b"j" + struct.pack("<I", level) for name in names)
        state = text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + b"}(" + inner + b"u"
        meta = text("type") + text("class") + text("class_name") + text("Generator") + text("state")
        out += b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}(" + meta + b"}(" + state + b"uu\x85R\x94"
    return out + b"}" + text("G_ema") + b"j" + struct.pack("<I", levels) + b"s."


def text(letters: str) -> bytes:
    return b"\x8c" + bytes([len(letters)]) + letters.encode()


def a_module_inside_itself() -> bytes:
    once = modules(1, "synthesis")
    # The dictionary of its modules is kept, and the finished module put into it.
    kept = once.replace(text("_modules") + b"}(", text("_modules") + b"}\x94(").replace(b"j\x00\x00\x00\x00", b"N")
    end = kept.index(b"}" + text("G_ema"))
    return kept[:end] + b"h\x01" + text("synthesis") + b"h\x02s0" + kept[end:].replace(b"j\x01", b"j\x02")


def bombs() -> dict[str, bytes]:
    """Small files that ask for much."""
    twice = [b"h" + bytes([level]) + b"h" + bytes([level]) for level in range(60)]
    lists = b"]\x94" + b"".join(b"](" + pair + b"e\x94" for pair in twice)  # each holds the one before twice
    tuples = b")\x94" + b"".join(b"(" + pair + b"t\x94" for pair in twice)
    return {
        "a memo index": opcodes(b"N", b"r\xff\xff\xff\xff"),
        "a length of bytes": opcodes(b"\x8e" + struct.pack("<Q", 1 << 62)),
        "bytes of 4 GB": opcodes(b"B\xff\xff\xff\xff"),
        "a length of text": opcodes(b"\x8d" + struct.pack("<Q", 1 << 40)),
        "a negative number's length": opcodes(b"\x8b\xff\xff\xff\xff"),
        "a frame": opcodes(b"\x95" + struct.pack("<Q", 1 << 62), b"N"),
        "a buffer": opcodes(b"\x97"),
        "a flood of memos": b"\x80\x04N" + b"\x94" * 5_000_000 + b".",
        "a flood of dictionaries": b"\x80\x04" + b"}" * 5_000_000 + b".",
        "a flood of marks": b"\x80\x04" + b"(" * 5_000_000 + b".",
        "lists of lists": b"\x80\x04" + lists + b".",
        "a key that never ends": b"\x80\x04}" + tuples + b"Ns.",
        "a type of lists": b"\x80\x04" + lists + b"cnumpy\ndtype\nh\x3c\x85R.",
        "deep lists": b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b".",
        "deep tuples": b"\x80\x04)" + b"\x85" * 300_000 + b".",
        "deep tuples as a key": b"\x80\x04})" + b"\x85" * 300_000 + b"Ns.",
        "a large key": opcodes(b"}", b"\x8a\x09" + b"\x7f" * 9, b"Ns"),
        "an extension": opcodes(b"\x82\x01"),
        "an instance": opcodes(b"(ios\nsystem\n"),
        "nothing": b"\x80\x04.",
        "a pop too many": b"\x80\x040.",
        "a mark too few": b"\x80\x04t.",
        "a memo that is not": opcodes(b"h\x07"),
        "an opcode that is none": opcodes(b"\xff"),
        "control letters": opcodes("os\n\x1b[2J", "sys\ntem\ud7ff", b"\x93"),
        "a name that is no text": opcodes(b"]", "system", b"\x93"),
        "modules in modules": modules(5000, "synthesis"),
        "a tree that is one branch": modules(60, "synthesis", "mapping"),
        "a module inside itself": a_module_inside_itself(),
        "a set that swells": opcodes(b"]\x94", b"(" + b"N" * 1000 + b"e", b"cbuiltins\nset\nh\x00\x85R" * 100),
    }


def test_bombs(tmp_path: Path) -> None:
    paths = []
    for words, content in bombs().items():
        path = tmp_path / f"{words}.pkl"
        path.write_bytes(content)
        paths.append(path)
    for said_of, path in zip(said(*paths), paths, strict=True):
        assert said_of.startswith(str(path)) and said_of.isprintable(), (path, said_of)


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """One to four bytes changed, and sometimes the end cut off or a piece repeated."""
    out = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        out[draw.randrange(len(out))] = draw.randrange(256)
    kind = draw.randrange(6)
    if kind == 0:
        del out[draw.randrange(len(out)) :]
    elif kind == 1:
        start = draw.randrange(len(out))
        piece = out[start : start + draw.randint(1, 200)]
        out[start:start] = piece
    return bytes(out)


def test_mutated_files(tmp_path: Path) -> None:
    network = random_network(**TINY)
    state = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("mapping")}
    sources = [write(tmp_path / f"protocol{p}.pkl", network, p) for p in (2, 3, 4)]
    for name, is_zip in (("zip.pt", True), ("old.pt", False)):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=is_zip)
        sources.append(tmp_path / name)
    draw = random.Random(0)
    paths = []
    for count in range(MUTATIONS):
        source = sources[count % len(sources)]
        path = tmp_path / f"{count}{source.suffix}"
        path.write_bytes(mutated(source.read_bytes(), draw))
        paths.append(path)
    texts = said(*sources, *paths)
    assert texts[: len(sources)] == [""] * len(sources)
    failed = 0
    for text, path in zip(texts[len(sources) :], paths, strict=True):
        failed += text != ""
        assert text == "" or (str(path) in text and "\n" not in text), (path, text)
    assert failed > MUTATIONS / 3, "most changes should be noticed"
