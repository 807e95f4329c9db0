"""Any file of gmmedit's in a few facts: what `gmmedit inspect` prints."""

from pathlib import Path
from typing import Any

import h5py

from gmmedit import artifacts


def describe(path: Path) -> dict[str, Any]:
    """JSON-ready description of an artifact or of a generator's file. InputError: it is neither."""
    if path.is_file() and not h5py.is_hdf5(path):
        from gmmedit.generators.formats import detect  # torch comes with it

        if detect.container_of(path):
            return detect.describe(path)
    return artifacts.describe(path)
