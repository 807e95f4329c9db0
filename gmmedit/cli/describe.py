"""Any file of gmmedit's in a few facts: what `gmmedit inspect` prints."""

from pathlib import Path
from typing import Any

import h5py

from gmmedit import artifacts
from gmmedit.hub import CATALOGUE, locate_model


def describe(path: Path) -> dict[str, Any]:
    """JSON-ready description of an artifact, of a generator's file, or of the file behind a catalogued name.

    InputError: it is neither, or not on this computer.
    """
    if not path.is_file() and str(path) in CATALOGUE:
        path = locate_model(str(path))
    if path.is_file() and not h5py.is_hdf5(path):
        from gmmedit.generators.formats import detect  # torch comes with it

        if detect.container_of(path):
            return detect.describe(path)
    return artifacts.describe(path)
