"""Hostile pickles: nothing in them runs, memory stays bounded, and each is refused in one line.

The files are read in a process of their own, under an audit hook that ends it at once if anything is executed,
started, imported or opened for writing, and under a limit on memory.
"""

import io
import json
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia_pickles import Persistent, node, random_network, write

from gmmedit.generators.formats.nvidia import named_tensors
from gmmedit.generators.formats.wrappers import walk_leaves
from gmmedit.networks.pickle_values import Node, Refused

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory by RLIMIT_AS")

DATA = Path(__file__).parent / "data"
TINY = {"resolution": 8, "channels": (3, 2), "z_dim": 3, "w_dim": 4, "mapping_layers": 2}
MEMORY = 1 << 30  # bytes of address space that reading hostile files may add
MUTATIONS = 1000

GUARD = """
import encodings.cp437, json, os, resource, sys, traceback
from importlib import import_module
from pathlib import Path
from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.generators.formats.detect import FORMATS
from gmmedit.networks.unpickling import read_pickle, read_torch, report_damage

FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove",
             "os.rename", "os.mkdir", "os.putenv", "subprocess.Popen", "socket.", "pty.spawn", "ctypes.", "shutil.",
             "tempfile.", "pickle.find_class", "marshal.", "code.__new__", "sys.set")

def watch(event, arguments):
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event.startswith(FORBIDDEN):
        print(event, str(arguments)[:100], *traceback.format_stack()[-6:], file=sys.stderr)
        os._exit(66)

def read_all(path):
    with report_damage(Path(path)):
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
for row in FORMATS:  # each is imported when a file of its kind is opened
    import_module(row.module)
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


def calls(folder: Path) -> dict[str, Call]:
    """Of functions that do harm, by the names that pickles of protocol 3 and later give them."""
    touch = f"touch {folder}/ran"
    return {
        "posix.system": Call(os.system, touch),
        "builtins.eval": Call(eval, f"open('{folder}/ran', 'w')"),
        "builtins.exec": Call(exec, f"open('{folder}/ran', 'w')"),
        "builtins.getattr": Call(getattr, [], "append"),
        "builtins.__import__": Call(__import__, "antigravity"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", f"{folder}/ran"]),
        "io.open": Call(io.open, f"{folder}/ran", "w"),
        "torch.serialization.load": Call(torch.load, f"{folder}/ran", state={"f": "x"}),
        "torch.jit._serialization.load": Call(torch.jit.load, f"{folder}/ran"),
        "numpy.load": Call(np.load, f"{folder}/ran", None, True),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.system, touch))),
    }


def named(protocol: int, name: str) -> str:
    """The name that a pickle of that protocol gives the function."""
    with_name = next(it for full, it in calls(Path()).items() if full == name)
    stream = pickle.dumps(with_name.function, protocol)
    texts = [argument for opcode, argument, _ in pickletools.genops(stream) if isinstance(argument, str)]
    return ".".join(texts).replace(" ", ".")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_functions_never_run(protocol: int, tmp_path: Path) -> None:
    """A generator that needs one is refused by its name; beside a generator it is inert."""
    paths, expected = [], []
    for name, call in calls(tmp_path).items():
        full = named(protocol, name)
        network = random_network(**TINY)
        contents = {
            f"needs {full}, which is not plain data; it was not imported or run": (call, {"G_ema": call}),
            f"it refers to {full}, which were not run": ({"D": call}, OrderedDict(a=[(call,)])),
        }
        for says, content in [(says, content) for says, pair in contents.items() for content in pair]:
            paths.append(tmp_path / f"{len(paths)}.pkl")
            paths[-1].write_bytes(pickle.dumps(content, protocol))
            expected.append(says)
        paths.append(
            write(tmp_path / f"{len(paths)}.pkl", network, protocol, D=call, augment_pipe=[{call.function: call}])
        )
        expected.append("")
    for text, path, says in zip(said(*paths), paths, expected, strict=True):
        assert says in text if says else not text, (path, text)
    assert not (tmp_path / "ran").exists()


def test_pickles_of_the_oldest_protocols_are_refused_too(tmp_path: Path) -> None:
    paths = []
    for protocol in (0, 1):
        for content in (Call(os.system, f"touch {tmp_path}/ran"), {"G_ema": Call(os.system, f"touch {tmp_path}/ran")}):
            paths.append(tmp_path / f"{len(paths)}.pkl")
            paths[-1].write_bytes(pickle.dumps(content, protocol))
    texts = said(*paths)
    assert all(text.startswith(str(path)) for text, path in zip(texts, paths, strict=True))
    assert "is not a pickle of protocols 2 to 5" in texts[0] and "needs posix.system" in texts[2]
    assert not (tmp_path / "ran").exists()


INERT = b"cposix\nsystem\n"  # pushed as a name


def attacks() -> dict[str, bytes]:
    """Everything a pickle can do with a name that is not on the list; pieces that leave one object."""
    called = INERT + opcodes("touch ran")[2:-1] + b"\x85R"
    keywords = b"}(" + opcodes("size", 3)[2:-1] + b"u"
    return {
        "a name": INERT,
        "a call": called,
        "a call of what a call gave": called + b")R)R",
        "a new object": INERT + b")\x81",
        "a new object by keywords": INERT + b")" + keywords + b"\x92",
        "a state": called + b"}(" + opcodes("__class__", "x", "reason", "y", "name", 3)[2:-1] + b"ub",
        "slots": called + b"N}(" + opcodes("__dict__")[2:-1] + b"}u\x86b",
        "a state that is itself": called + b"\x94h\x00b",
        "a state by a name": called + INERT + b"b",
        "items": called + b"(" + opcodes("a", 1)[2:-1] + b"u" + opcodes("b", 2)[2:-1] + b"s",
        "members": called + b"](" + INERT + b"e" + b"a",
        "an item of a set": b"\x8f(" + called + b"\x90",
        "a name as a key": b"}" + INERT + b"Ns",
        "a call as a key": b"}" + called + b"Ns",
        "a tensor of it": b"ctorch._utils\n_rebuild_tensor_v2\n("
        + called
        + b"K\x00K\x04\x85K\x01\x85\x89Nt R".replace(b" ", b""),
        "an array of it": b"cnumpy.core.multiarray\n_reconstruct\n" + called + b"\x85R" + called + b"b",
        "a dtype of it": b"cnumpy\ndtype\n" + called + b"\x85R" + called + b"b",
        "bytes of it": b"c_codecs\nencode\n" + called + called + b"\x86R",
        "a module of it": b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + called + b"\x85R",
        "a storage of it": b"ctorch.storage\n_load_from_bytes\n" + called + b"\x85R",
        "a known name called by it": b"cargparse\nNamespace\n)R" + called + b"b",
    }


REFUSED_OUTRIGHT = {
    "an extension of one byte": b"\x82\x01",
    "an extension of two bytes": b"\x83\x01\x00",
    "an extension of four bytes": b"\x84\x01\x00\x00\x00",
    "an instance": b"(ios\nsystem\n",
    "an object": b"(" + INERT + b"o",
    "a persistent object": b"Pposix.system\n",
    "a persistent object by its number": INERT + b"Q",
    "a buffer from outside": b"\x97",
    "a name of no text": b"]]\x93N)R" + b"0",
    "a call with no arguments tuple": opcodes(7)[2:-1] + b"]R",
}


def test_attacks_beside_a_generator(tmp_path: Path) -> None:
    """Spliced in front of a good file, whose pickle then goes on: what is inert stays so, and never runs."""
    whole = write(tmp_path / "good.pkl", random_network(**TINY), 2).read_bytes()
    assert whole.startswith(b"\x80\x02}")
    paths = []
    for words, attack in (attacks() | REFUSED_OUTRIGHT).items():
        memo = attack.replace(b"\x94h\x00", b"r\x00\x00\x01\x00j\x00\x00\x01\x00")  # beyond the file's own
        paths.append(tmp_path / f"{words}.pkl")
        paths[-1].write_bytes(whole[:3] + opcodes("D")[2:-1] + memo + b"s" + whole[3:])
    texts = said(*paths)
    for text, path in zip(texts[: len(attacks())], paths, strict=False):
        assert text == "", (path, text)
    for text, path in zip(texts[len(attacks()) :], paths[len(attacks()) :], strict=True):
        assert text.startswith(str(path)) and text.isprintable(), (path, text)
    assert not (tmp_path / "ran").exists() and not Path("ran").exists()


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
    assert all("needs posix.system" in text for text in texts[:1])
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
    assert all("needs posix.system" in text for text in (*texts[:2], texts[3]))
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
        "a flood of inert objects": b"\x80\x04cos\nsystem\n\x94" + b"h\x00)\x81" * 1_500_000 + b".",
        "a flood of inert names": b"\x80\x04" + b"".join(b"cos\ns%d\n0" % i for i in range(200_000)) + b"N.",
        "an inert object that swallows": b"\x80\x04cos\nsystem\n)R" + b"(" + b"N" * 400_000 + b"e" + b".",
        "dictionaries in dictionaries": b"\x80\x04" + b"}X\x01\x00\x00\x00a" * 100_000 + b"N" + b"s" * 100_000 + b".",
        "dictionaries twice in dictionaries": b"\x80\x04}\x94"
        + b"".join(b"}(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cu\x94" % (i, i) for i in range(60))
        + b".",
        "modules that wrap themselves": b"\x80\x04cx\ny\n)R\x94}("
        + text("_modules")
        + b"}("
        + text("module")
        + b"h\x00uub.",
        "a long dotted key": b"\x80\x04}X" + struct.pack("<I", 2_000_000) + b"output1." * 250_000 + b"cx\ny\ns.",
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


def test_a_large_key_is_not_joined_with_others() -> None:
    key, inner = "k" * (1 << 20), Node("Inner", {"_parameters": {}, "_buffers": {}, "_modules": {}})
    for _ in range(20):
        inner = Node("Outer", {**inner.state, "_modules": {key: inner}})
    for names in (walk_leaves({key: {"a": None}}), named_tensors(inner, "", set())):
        with pytest.raises(Refused, match="holds a name of more than 512 characters"):
            list(names)


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
