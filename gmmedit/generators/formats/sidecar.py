"""Settings that a network's file lacks, in a YAML file beside it: `my_gan.onnx` and `my_gan.yaml`."""

from pathlib import Path
from typing import Any

from gmmedit.errors import InputError
from gmmedit.runtime import yaml_files

HINT = "it should have lines like `z_dim: 128`"


def read_sidecar(path: Path) -> dict[str, Any]:
    """The settings in the YAML file beside `path`, {} if there is none. InputError: it is not a mapping."""
    sidecar = path.with_suffix(".yaml")
    if not sidecar.is_file():
        return {}
    found = yaml_files.read_yaml(sidecar, HINT)
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{sidecar} is not a mapping of settings", hint=HINT)
    return found
