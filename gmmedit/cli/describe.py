"""Facts about a file for `gmmedit inspect`."""

from pathlib import Path
from typing import Any

import h5py

from gmmedit import artifacts
from gmmedit.hub import CATALOGUE, locate_model


def describe(path: Path) -> dict[str, Any]:
    """JSON-ready description of an artifact, a generator's file, or the downloaded file of a catalogue name.

    InputError: the file is neither, or does not exist.
    """
    if not path.is_file() and str(path) in CATALOGUE:
        path = locate_model(str(path))
    if path.is_file() and not h5py.is_hdf5(path):
        from gmmedit.generators.formats import detect  # imports torch

        if detect.container_of(path):
            return detect.describe(path)
    return artifacts.describe(path)
