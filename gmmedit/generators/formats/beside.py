"""A few lines of YAML beside a network's file say what the file does not: `my_gan.onnx` and `my_gan.yaml`."""

from pathlib import Path
from typing import Any

import yaml

from gmmedit.errors import InputError


def notes(path: Path) -> dict[str, Any]:
    """What the YAML file beside `path` says, {} if there is none. InputError: it is no list of settings."""
    beside = path.with_suffix(".yaml")
    if not beside.is_file():
        return {}
    try:
        found = yaml.safe_load(beside.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"cannot read {beside}: {reason}", hint="write lines like `z_dim: 128`") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{beside} holds no settings", hint="write lines like `z_dim: 128`")
    return found
