"""Metrics of disentanglement of an encoder, and of controls, on data whose factors are known.

Reads a data set and, if one is given, the encoder of a directions.h5.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from gmmedit import artifacts, datasets
from gmmedit.datasets import DataSet
from gmmedit.datasets.resized import fit
from gmmedit.discovery.controls import NAMES, ControlSettings, make_control
from gmmedit.discovery.kind import UNLIKE, ImageKind, read_kind
from gmmedit.discovery.network import CodeNetwork
from gmmedit.discovery.protocol import PROTOCOLS, Encode, Pool, describe_protocol, measure_all
from gmmedit.discovery.reading import read_encoder
from gmmedit.errors import InputError, nearest, refuse_link
from gmmedit.run.fitted import to_tensors
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.extras import import_extra

SMALLEST, LARGEST = 8, 1024  # pixels of --size
RESULT = ("data", "data_fingerprint", "seed", "protocol", "scores")  # keys of the JSON
LONGEST_RESULT = 1 << 24  # bytes
KNOWN_DATA = {  # by channels
    1: "--data FILE of grey images with known factors: dsprites.npz",
    3: "--data shapes, or a file of RGB images with known factors: 3dshapes.h5",
}
COMPARED = 256  # images of the data whose kind is compared with that of an encoder


@dataclass(frozen=True)
class Opened:
    """An encoder, and the kind of images that it was trained on (None: not known)."""

    encode: CodeNetwork
    kind: ImageKind | None


@dataclass(frozen=True)
class DisentanglementRequest:
    """What to measure. size: of square images, None: the encoder's, else the data set's own."""

    data: str
    encoders: Sequence[Path] = ()
    controls: Sequence[str] = ()
    protocol: str = "quick"
    size: int | None = None
    out: Path | None = None  # where the caller writes the result
    seed: int = 0
    vae_steps: int = 1_000


def run(request: DisentanglementRequest, execution: Execution) -> dict[str, Any]:
    """The protocol, the data and the scores of each encoder, by name; JSON-ready.

    InputError: unknown data, protocol or control; nothing to measure; data without known factors; an encoder of images
    of another shape; scikit-learn is missing.
    """
    prepare(execution)
    if not request.encoders and not request.controls:
        raise InputError("nothing to measure", hint="--encoder runs/default/directions.h5, or --controls")
    check_request(request)
    import_extra("sklearn.ensemble", "DCI")
    protocol = PROTOCOLS[request.protocol]
    encoders = {path: open_encoder(path) for path in request.encoders}
    sizes = (opened.encode.config.image_shape[1] for opened in encoders.values())
    data = datasets.load(request.data, request.size or next(sizes, None))
    for path, opened in encoders.items():
        data = fit_data(data, opened.encode.config.image_shape, path)
    pool = Pool(data, protocol)
    notes = [note for path, opened in encoders.items() for note in describe_unlike(opened, pool, path)]
    code = next((opened.encode.config.code for opened in encoders.values()), ControlSettings.code)
    every: dict[str, Encode] = {str(path): opened.encode for path, opened in encoders.items()}
    every |= open_controls(request, data, code, execution)
    scores = measure_all(every, pool, request.seed, execution)
    return {"data": data.name, "data_fingerprint": data.fingerprint, "seed": request.seed,
            "protocol": describe_protocol(pool), "notes": notes, "scores": scores}  # fmt: skip


def check_request(request: DisentanglementRequest) -> None:
    """InputError: an unknown control, a size out of range, or an `out` that cannot be written or is no such result."""
    for name in request.controls:
        if name not in NAMES:
            raise InputError(f"unknown control {name!r}", hint=nearest(name, NAMES))
    if request.size is not None and not SMALLEST <= request.size <= LARGEST:
        message = f"--size {request.size} is not between {SMALLEST} and {LARGEST} pixels"
        raise InputError(message, hint="--size 64, or leave it out: the size of the encoder's images, else of --data")
    if request.out:
        check_out(request.out)


def check_out(path: Path) -> None:
    """InputError: there is no such folder, or something else than an earlier result is there; an empty file may be."""
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}", hint=f"mkdir -p {quote(str(path.parent))}")
    if path.is_dir():
        raise InputError(f"--out {path} is a folder", hint=f"name a file: --out {quote(str(path / 'scores.json'))}")
    refuse_link(path)
    if path.exists() and not is_result(path):
        message = f"--out {path} exists and is no result of gmmedit disentanglement"
        raise InputError(message, hint="remove it, or choose another --out")


def is_result(path: Path) -> bool:
    """Whether a file is empty, or the JSON of an earlier measurement."""
    if not path.is_file() or path.stat().st_size > LONGEST_RESULT:
        return False
    try:
        text = path.read_text()
        found = json.loads(text) if text else dict.fromkeys(RESULT)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= set(RESULT)


def open_controls(request: DisentanglementRequest, data: DataSet, code: int, execution: Execution) -> dict[str, Encode]:
    """The controls by name. code: their dimensions."""
    settings = ControlSettings(code, request.vae_steps, request.seed)
    return {name: make_control(name, data, settings, execution) for name in request.controls}


def open_encoder(path: Path) -> Opened:
    """The encoder of a directions.h5, and the images that it was trained on. InputError: they are not square."""
    with artifacts.open(path, "directions") as artifact:
        kind = read_kind(to_tensors(artifact.group("kind")))
        encode = read_encoder(artifact)
    _, height, width = encode.config.image_shape
    if height != width:
        message = f"{path} encodes images of {height} x {width} pixels, data with known factors are square"
        raise InputError(message, hint="give an --encoder of a generator of square images")
    return Opened(encode, kind)


def describe_unlike(opened: Opened, pool: Pool, path: Path) -> list[str]:
    """A note if the images are of another kind than those that an encoder was trained on; none of an older file."""
    places = np.linspace(0, len(pool.factors.rows) - 1, COMPARED).astype(int)
    distance = opened.kind.distance(pool.images(np.unique(places))) if opened.kind else 0.0
    if distance < UNLIKE:
        return []
    return [
        f"warning: {path} was trained on images of another kind than those of {pool.data.name} (their means lie "
        f"{distance:.1f} standard deviations apart): the scores say little about it"
    ]


def fit_data(data: DataSet, shape: tuple[int, int, int], path: Path) -> DataSet:
    """The data with images as an encoder takes them. InputError: they have other channels."""
    data = fit(data, shape[1])
    if data.image_shape != shape:
        message = f"{path} encodes images of the shape {shape}, those of {data.name} are {data.image_shape}"
        raise InputError(message, hint=KNOWN_DATA.get(shape[0], "give an --encoder of grey or RGB images"))
    return data
