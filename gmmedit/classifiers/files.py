"""Find the file of a description, and what it holds."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from gmmedit.classifiers import custom, huggingface
from gmmedit.classifiers.description import HINT, Source
from gmmedit.errors import InputError, nearest
from gmmedit.networks import weights
from gmmedit.runtime.regular_files import check_regular

YAML = (".yaml", ".yml")
BY_SUFFIX = {".safetensors": "safetensors", ".onnx": "onnx", ".csv": "table", ".txt": "table"}
SUFFIXES = (*YAML, ".pt2", ".pt", ".pth", ".ts", ".onnx", ".safetensors", ".csv", ".txt", ".h5", ".hdf5", ".py", ".bin")
READERS = {"exported": custom.read_exported, "torchscript": custom.read_torchscript, "onnx": custom.read_onnx}
WEIGHTS = "holds weights without their network, or something else"
REBUILD = "write a function my_network.py:load that builds the network, and a YAML file that describes it"


def locate_file(description: Source, base: Path, prefix: str, names: Iterable[str]) -> Path:
    """The file or folder, relative to `base`, or that of a hub name in the local cache. InputError: there is none.

    prefix: the YAML file that names it, for errors; "": none does.
    """
    name = description.file
    path = base / name
    if path.exists():
        return path
    if huggingface.HUB_NAME.fullmatch(name) and path.suffix not in SUFFIXES:
        return huggingface.find_cached_folder(name)
    if prefix:
        message = f"{prefix}file: {path.absolute()} does not exist"
        raise InputError(message, hint="give a path relative to the folder of the YAML file, or an absolute one")
    if path.suffix or "/" in name:
        raise InputError(f"there is no {description.what} file {path}", hint=description.hint)
    raise InputError(f"there is no {description.what} called {name!r}", hint=nearest(name, names))


def kind_of(path: Path) -> str:
    """What a file holds, by content where possible: "folder", "table", "safetensors", one of READERS, or "" if unknown.

    InputError: a damaged archive, or weights alone.
    """
    if path.is_dir():
        return "folder"
    check_regular(path, HINT)
    with path.open("rb") as file:
        start = file.read(9)
    if weights.starts_safetensors(start):
        return "safetensors"
    if start.startswith(b"PK"):
        return kind_of_archive(path)
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        return "table"
    if start.startswith(b"\x80"):
        raise InputError(f"{path} {WEIGHTS}", hint=REBUILD)
    if path.suffix == ".py":
        raise InputError(f"{path} is a Python file", hint=f"give a function in it: {path.name}:load")
    return BY_SUFFIX.get(path.suffix, "")


def kind_of_archive(path: Path) -> str:
    """ "torchscript" or "exported". InputError: a damaged zip, or one of weights alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}", hint="export it again") from error
    if any("/code/" in name for name in names):
        return "torchscript"
    if any(name.endswith(("models/model.json", "serialized_exported_program.json")) for name in names):
        return "exported"
    raise InputError(f"{path} {WEIGHTS}", hint=REBUILD)
