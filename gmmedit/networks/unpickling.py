"""The safe pickle reader: pickles and torch.save files read as data, with an allow-list of names.

`read_pickle` reads plain pickles, as NVIDIA's checkpoints are, `read_torch` what torch.save wrote. Classes become
`Node`s, tensors and arrays `LazyTensor`s. Any other name is refused; with a set `inert`, which collects these names, it
becomes an `Inert`, which is refused only where it is needed.
"""

import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmmedit.errors import InputError
from gmmedit.networks.lazy_tensors import STORAGES, Array, DType, LazyTensor, Storage, make_scalar
from gmmedit.networks.pickle_machine import Constructor, Machine, Stream
from gmmedit.networks.pickle_values import Name, Node, Refused, Span, TextBytes, shorten

HINT = "give an unmodified checkpoint; docs/generators.md lists the supported formats"
MAGIC = 0x1950A86A20F9469CFC6C  # first object of a torch.save stream without zip
VERSION = 1001
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a file in a zip: signature, lengths of name and extra


@contextmanager
def report_damage(path: Path, hint: str = HINT) -> Iterator[None]:
    """Turn whatever reading a hostile or damaged file raises into an InputError of one line."""
    try:
        yield
    except InputError:
        raise
    except Refused as error:
        raise InputError(f"{path} {error}", hint=hint) from error
    except EOFError as error:
        raise InputError(f"{path} is truncated", hint="download or copy it again") from error
    except MemoryError as error:
        raise InputError(f"{path} needs more memory than is available", hint=hint) from error
    except Exception as error:  # damaged bytes can break any assumption
        reason = shorten(" ".join(f"{type(error).__name__}: {error}".split()))
        raise InputError(f"{path} is damaged or of an unsupported format ({reason})", hint=hint) from error


def read_pickle(path: Path, inert: set[str] | None = None) -> Any:
    """The object of a plain pickle, protocols 2 to 5, as data.

    InputError: the file is truncated, damaged or hostile, or without `inert` it names something that is not allowed.
    """
    with report_damage(path), path.open("rb") as file:
        return Machine(Stream(file, path), CONSTRUCTORS, inert=inert).run()


def read_torch(path: Path, inert: set[str] | None = None) -> Any:
    """The object that torch.save wrote, in the zip format or the older one. InputError: as `read_pickle`."""
    with report_damage(path):
        if zipfile.is_zipfile(path):
            return read_zip(path, inert)
        return read_legacy(Span(path, 0, path.stat().st_size), inert)


@dataclass(eq=False)
class NestedStorage:
    """A storage that is a complete torch.save stream inside a pickle (`torch.storage._load_from_bytes`)."""

    span: Span

    def open(self) -> Storage:
        """The storage. Refused: the stream holds something else."""
        reference = read_legacy(self.span)
        if not isinstance(reference, Reference):
            raise Refused("has a nested storage in an unknown form")
        return reference.open()


@dataclass(eq=False)
class Reference:
    """A reference to a storage elsewhere in the file, by its key."""

    kind: str
    key: str
    numel: int
    storage: Storage | None = None

    @classmethod
    def parse(cls, identity: Any) -> "Reference":
        """From a persistent id ("storage", torch.FloatStorage, key, device, numel[, view]). Refused: another form."""
        word, kind, key, _device, numel, *view = identity
        known = isinstance(kind, Name) and kind.text in STORAGES and type(key) is str and type(numel) is int
        if word != "storage" or not known or any(part is not None for part in view):
            raise Refused("refers to a storage of an unknown kind")
        return cls(kind.text, key, numel)

    def place(self, span: Span) -> None:
        """Say where in the file the storage lies. Refused: its size is not `numel` numbers."""
        self.storage = Storage(STORAGES[self.kind], span)
        if self.storage.numel != self.numel:
            raise Refused("has a storage whose size differs from its declared size")

    def open(self) -> Storage:
        """The storage. Refused: the file does not hold it."""
        if self.storage is None:
            raise Refused(f"has no storage {shorten(self.key)}")
        return self.storage


class StorageTable:
    """The storages that one pickle refers to, by key."""

    def __init__(self) -> None:
        self.references: dict[str, list[Reference]] = {}

    def load(self, identity: object) -> Reference:
        """The reference for a persistent id; one pickle may have several to the same storage."""
        reference = Reference.parse(identity)
        self.references.setdefault(reference.key, []).append(reference)
        return reference

    def place(self, key: str, span: Span) -> None:
        """Say where the storage of that key lies."""
        for reference in self.references.get(key, ()):
            reference.place(span)


def read_legacy(span: Span, inert: set[str] | None = None) -> Any:
    """The object of a torch.save stream without zip: five pickles, then each storage's length and numbers.

    Refused: a storage of unknown type, after which the next one could not be found.
    """
    shelf = StorageTable()
    with span.source.open("rb") as file:
        stream = Stream(file, span.source, span.start, span.size)
        if Machine(stream, CONSTRUCTORS).run() != MAGIC or Machine(stream, CONSTRUCTORS).run() != VERSION:
            raise Refused("is not a file that torch.save wrote")
        if not Machine(stream, CONSTRUCTORS).run()["little_endian"]:
            raise Refused("holds big-endian numbers")
        content = Machine(stream, CONSTRUCTORS, shelf.load, inert).run()
        for key in Machine(stream, CONSTRUCTORS).run():
            if type(key) is not str or key not in shelf.references:
                raise Refused("has a storage without a reference to it, or of an unknown type")
            width = STORAGES[shelf.references[key][0].kind].itemsize
            shelf.place(key, stream.span(stream.number(8) * width))
    return content


def read_zip(path: Path, inert: set[str] | None = None) -> Any:
    """The object of a torch.save zip: PREFIX/data.pkl, with the storages in PREFIX/data/KEY.

    Refused: not one data.pkl, or compressed members.
    """
    shelf = StorageTable()
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        spans = {info.filename: locate_member(info, path) for info in archive.infolist()}
        pickles = [name for name in spans if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise Refused("is a zip, but not one that torch.save wrote")
        main = spans[pickles[0]]
        content = Machine(Stream(file, path, main.start, main.size), CONSTRUCTORS, shelf.load, inert).run()
    folder = pickles[0].removesuffix("data.pkl") + "data/"
    for key in shelf.references:
        if f"{folder}{key}" in spans:
            shelf.place(key, spans[f"{folder}{key}"])
    return content


def locate_member(info: zipfile.ZipInfo, path: Path) -> Span:
    """Where the bytes of a member of an uncompressed zip lie. Refused: it is compressed, or the zip is damaged."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise Refused("is a compressed zip, which torch.save never writes")
    signature, name, extra = LOCAL_HEADER.unpack(Span(path, info.header_offset, LOCAL_HEADER.size).read())
    if signature != b"PK\x03\x04":
        raise Refused("is a damaged zip")
    return Span(path, info.header_offset + LOCAL_HEADER.size + name + extra, info.file_size)


# Constructors of the allow-list. Their arguments come from the file.


def make_module(meta: Any) -> Node:
    """`torch_utils.persistence._reconstruct_persistent_obj`; the source text in `meta` is ignored."""
    if meta["type"] != "class" or not isinstance(meta["class_name"], str):
        raise Refused("has a network of an unknown kind")
    node = Node(meta["class_name"])
    node.build(meta["state"])
    return node


def make_tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> LazyTensor:
    """`torch._utils._rebuild_tensor`. Refused: it has no storage."""
    if not isinstance(storage, NestedStorage | Reference):
        raise Refused("has a tensor without a storage")
    return LazyTensor(storage.open, offset, shape, stride)


def make_nested_storage(span: object) -> NestedStorage:
    """`torch.storage._load_from_bytes`. Refused: the argument is no byte string."""
    if not isinstance(span, Span):
        raise Refused("has a nested storage in an unknown form")
    return NestedStorage(span)


def make_parameter(value: object, *_: object) -> LazyTensor:
    """`torch._utils._rebuild_parameter`: the tensor itself. Refused: it is none."""
    if not isinstance(value, LazyTensor):
        raise Refused("has a parameter that is not a tensor")
    return value


def make_dictionary(*items: object) -> dict[str, Any]:
    """An empty dictionary. Refused: one with constructor arguments."""
    if items:
        raise Refused("has a dictionary in an unknown form")
    return {}


def make_bytes(text: object, coding: object) -> Span:
    """`_codecs.encode`: bytes in a pickle of protocol 2. Refused: another encoding than latin1."""
    if type(text) is not str or coding != "latin1":
        raise Refused("has bytes in an unknown form")
    return Span(TextBytes(text), 0, len(text))


def make_node(name: str) -> Constructor:
    """A constructor of `Node`s of that name, which ignores its arguments."""
    return lambda *_: Node(name)


def make_array(data: object, dtype: object, shape: object, order: object) -> Array:
    """`numpy.core.numeric._frombuffer`."""
    return Array().fill(data, dtype, shape, order)


def numpy_constructors(core: str) -> Mapping[str, Constructor]:
    """The allowed names of numpy, whose module is `numpy.core` or `numpy._core`."""
    return {
        f"{core}.multiarray.scalar": make_scalar,
        f"{core}.multiarray._reconstruct": Array,
        f"{core}.numeric._frombuffer": make_array,
    }


# The allow-list. None: allowed as an argument only.
CONSTRUCTORS: Mapping[str, Constructor | None] = {
    "_codecs.encode": make_bytes,
    "collections.OrderedDict": make_dictionary,
    "dnnlib.EasyDict": make_dictionary,
    "dnnlib.util.EasyDict": make_dictionary,
    "builtins.set": lambda items=(): items,  # protocol 3 and below; members are never looked up
    "__builtin__.set": lambda items=(): items,
    "numpy.dtype": DType,
    "numpy.ndarray": None,
    **numpy_constructors("numpy.core"),
    **numpy_constructors("numpy._core"),
    "torch_utils.persistence._reconstruct_persistent_obj": make_module,
    "torch.storage._load_from_bytes": make_nested_storage,
    "torch._utils._rebuild_tensor": make_tensor,
    "torch._utils._rebuild_tensor_v2": make_tensor,
    "torch._utils._rebuild_parameter": make_parameter,
    "torch._utils._rebuild_parameter_with_state": make_parameter,
    **dict.fromkeys(STORAGES),
    **{
        name: make_node(name)
        for name in ("argparse.Namespace", "dnnlib.tflib.network.Network", "torch.Size", "torch.device")
    },
}
