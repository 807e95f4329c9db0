"""Pickles and torch.save containers of others, read as data: an allow-list of names, and inert stand-ins for them.

`read_pickle` serves NVIDIA's checkpoints (PyTorch and TensorFlow), `read_torch` whatever torch.save wrote.
Classes become `Node`s, tensors and arrays `LazyTensor`s. Whatever else a file names is refused by that name; with a set
`inert`, which collects those names, it becomes an `Inert` instead, and only who needs it refuses it.
"""

import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmmedit.errors import InputError
from gmmedit.networks.lazy_tensors import STORAGES, Array, DType, LazyTensor, Storage, scalar
from gmmedit.networks.pickle_machine import (
    Constructor,
    Machine,
    Name,
    Node,
    Recoded,
    Refused,
    Span,
    Stream,
    printable,
)

HINT = "give an unchanged checkpoint of a generator; docs/generators.md lists what is read"
MAGIC = 0x1950A86A20F9469CFC6C  # first object of a torch.save stream without zip
VERSION = 1001
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a file in a zip: signature, lengths of name and extra


@contextmanager
def explained(path: Path, hint: str = HINT) -> Iterator[None]:
    """Whatever reading a hostile or damaged file can raise, as an InputError of one line."""
    try:
        yield
    except InputError:
        raise
    except Refused as error:
        raise InputError(f"{path} {error}", hint=hint) from error
    except EOFError as error:
        raise InputError(f"{path} ends in the middle: the file is truncated", hint="get it again") from error
    except MemoryError as error:
        raise InputError(f"{path} asks for more memory than there is", hint=hint) from error
    except Exception as error:  # damaged bytes can break any assumption
        reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))
        raise InputError(f"{path} is damaged, or not what it looks like ({reason})", hint=hint) from error


def read_pickle(path: Path, inert: set[str] | None = None) -> Any:
    """The object of a plain pickle, protocols 2 to 5. InputError: truncated, hostile, or naming something unknown."""
    with explained(path), path.open("rb") as file:
        return Machine(Stream(file, path), CONSTRUCTORS, inert=inert).run()


def read_torch(path: Path, inert: set[str] | None = None) -> Any:
    """The object that torch.save wrote, in the zip format or the older one. InputError as in `read_pickle`."""
    with explained(path):
        if zipfile.is_zipfile(path):
            return read_zip(path, inert)
        return read_legacy(Span(path, 0, path.stat().st_size), inert)


@dataclass(eq=False)
class Blob:
    """A storage by itself, as a complete torch.save stream inside a pickle (`torch.storage._load_from_bytes`)."""

    span: Span

    def open(self) -> Storage:
        reference = read_legacy(self.span)
        if not isinstance(reference, Reference):
            raise Refused("has a nested storage that is none")
        return reference.open()


@dataclass(eq=False)
class Reference:
    """A storage that the file keeps elsewhere, under a key."""

    kind: str
    key: str
    numel: int
    storage: Storage | None = None

    @classmethod
    def parse(cls, identity: Any) -> "Reference":
        """From the persistent id ("storage", torch.FloatStorage, key, device, numel[, view])."""
        word, kind, key, _device, numel, *view = identity
        known = isinstance(kind, Name) and kind.text in STORAGES and type(key) is str and type(numel) is int
        if word != "storage" or not known or any(part is not None for part in view):
            raise Refused("refers to a storage of an unknown kind")
        return cls(kind.text, key, numel)

    def place(self, span: Span) -> None:
        self.storage = Storage(STORAGES[self.kind], span)
        if self.storage.numel != self.numel:
            raise Refused("has a storage of another size than it says")

    def open(self) -> Storage:
        if self.storage is None:
            raise Refused(f"has no storage {printable(self.key)}")
        return self.storage


class Shelf:
    """The storages that one pickle refers to, by key."""

    def __init__(self) -> None:
        self.references: dict[str, list[Reference]] = {}

    def load(self, identity: object) -> Reference:
        reference = Reference.parse(identity)
        self.references.setdefault(reference.key, []).append(reference)
        return reference

    def place(self, key: str, span: Span) -> None:
        for reference in self.references.get(key, ()):
            reference.place(span)


def read_legacy(span: Span, inert: set[str] | None = None) -> Any:
    """The object of a torch.save stream without zip: five pickles, then each storage's length and numbers.

    Refused, besides: numbers of a type whose size is unknown, as nobody knows where the next ones begin.
    """
    shelf = Shelf()
    with span.source.open("rb") as file:
        stream = Stream(file, span.source, span.start, span.size)
        if Machine(stream, CONSTRUCTORS).run() != MAGIC or Machine(stream, CONSTRUCTORS).run() != VERSION:
            raise Refused("is no checkpoint that torch.save wrote")
        if not Machine(stream, CONSTRUCTORS).run()["little_endian"]:
            raise Refused("holds big-endian numbers")
        content = Machine(stream, CONSTRUCTORS, shelf.load, inert).run()
        for key in Machine(stream, CONSTRUCTORS).run():
            if type(key) is not str or key not in shelf.references:
                raise Refused("has a storage that nothing refers to, or of an unknown type")
            width = STORAGES[shelf.references[key][0].kind].itemsize
            shelf.place(key, stream.span(stream.number(8) * width))
    return content


def read_zip(path: Path, inert: set[str] | None = None) -> Any:
    """The object of a torch.save zip: PREFIX/data.pkl, and storages in PREFIX/data/KEY, none compressed."""
    shelf = Shelf()
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        spans = {info.filename: stored(info, path) for info in archive.infolist()}
        pickles = [name for name in spans if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise Refused("is a zip, but no checkpoint that torch.save wrote")
        main = spans[pickles[0]]
        content = Machine(Stream(file, path, main.start, main.size), CONSTRUCTORS, shelf.load, inert).run()
    folder = pickles[0].removesuffix("data.pkl") + "data/"
    for key in shelf.references:
        if f"{folder}{key}" in spans:
            shelf.place(key, spans[f"{folder}{key}"])
    return content


def stored(info: zipfile.ZipInfo, path: Path) -> Span:
    """Where the bytes of a file in an uncompressed zip lie."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise Refused("is a compressed zip, which torch.save never writes")
    signature, name, extra = LOCAL_HEADER.unpack(Span(path, info.header_offset, LOCAL_HEADER.size).read())
    if signature != b"PK\x03\x04":
        raise Refused("is a damaged zip")
    return Span(path, info.header_offset + LOCAL_HEADER.size + name + extra, info.file_size)


# What the names of the allow-list make. The arguments come from the file.


def module(meta: Any) -> Node:
    """`torch_utils.persistence`: the source text in `meta` is ignored."""
    if meta["type"] != "class" or not isinstance(meta["class_name"], str):
        raise Refused("has a network of an unknown kind")
    node = Node(meta["class_name"])
    node.build(meta["state"])
    return node


def tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> LazyTensor:
    if not isinstance(storage, Blob | Reference):
        raise Refused("has a tensor without a storage")
    return LazyTensor(storage.open, offset, shape, stride)


def blob(span: object) -> Blob:
    if not isinstance(span, Span):
        raise Refused("has a nested storage that is none")
    return Blob(span)


def parameter(value: object, *_: object) -> LazyTensor:
    if not isinstance(value, LazyTensor):
        raise Refused("has a parameter that is no tensor")
    return value


def dictionary(*items: object) -> dict[str, Any]:
    if items:
        raise Refused("has a dictionary of an unknown form")
    return {}


def encoded(text: object, coding: object) -> Span:
    """Bytes in a pickle of protocol 2."""
    if type(text) is not str or coding != "latin1":
        raise Refused("has bytes of an unknown form")
    return Span(Recoded(text), 0, len(text))


def inert(name: str) -> Constructor:
    return lambda *_: Node(name)


def array_from_buffer(data: object, dtype: object, shape: object, order: object) -> Array:
    return Array().fill(data, dtype, shape, order)


def numpy_names(core: str) -> Mapping[str, Constructor]:
    return {
        f"{core}.multiarray.scalar": scalar,
        f"{core}.multiarray._reconstruct": Array,
        f"{core}.numeric._frombuffer": array_from_buffer,
    }


# None: a name that is only ever an argument.
CONSTRUCTORS: Mapping[str, Constructor | None] = {
    "_codecs.encode": encoded,
    "collections.OrderedDict": dictionary,
    "dnnlib.EasyDict": dictionary,
    "dnnlib.util.EasyDict": dictionary,
    "builtins.set": lambda items=(): items,  # protocol 3 and below; nobody looks members up
    "__builtin__.set": lambda items=(): items,
    "numpy.dtype": DType,
    "numpy.ndarray": None,
    **numpy_names("numpy.core"),
    **numpy_names("numpy._core"),
    "torch_utils.persistence._reconstruct_persistent_obj": module,
    "torch.storage._load_from_bytes": blob,
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
    "torch._utils._rebuild_parameter_with_state": parameter,
    **dict.fromkeys(STORAGES),
    **{
        name: inert(name)
        for name in ("argparse.Namespace", "dnnlib.tflib.network.Network", "torch.Size", "torch.device")
    },
}
