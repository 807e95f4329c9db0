"""A few lines of YAML beside a network's file say what the file does not: `my_gan.onnx` and `my_gan.yaml`."""

from pathlib import Path
from typing import Any

from gmmedit.errors import InputError
from gmmedit.runtime import yaml_files

HINT = "write lines like `z_dim: 128`"


def notes(path: Path) -> dict[str, Any]:
    """What the YAML file beside `path` says, {} if there is none. InputError: it is no list of settings."""
    beside = path.with_suffix(".yaml")
    if not beside.is_file():
        return {}
    found = yaml_files.read_yaml(beside, HINT)
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{beside} holds no settings", hint=HINT)
    return found
