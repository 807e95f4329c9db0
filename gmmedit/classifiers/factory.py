"""A classifier that a user's Python file makes: `my_classifier.py:load`."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gmmedit import weights
from gmmedit.classifiers.described import Network, file_fingerprint, frozen
from gmmedit.errors import InputError

PATTERN = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
DEBUG = "--debug shows where"


def make(path: Path, name: str) -> Any:
    """What the function `name` of the file returns. InputError: no such file or function, or it fails."""
    if not path.is_file():
        raise InputError(f"there is no classifier file {path}", hint="--classifier my_classifier.py:load")
    spec = spec_from_file_location(f"gmmedit_user_{path.stem}", path)
    assert spec and spec.loader  # as the suffix is .py
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # as `python my_classifier.py` would find its neighbours
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            raise InputError(f"{path} has no function {name!r}", hint="--classifier my_classifier.py:load")
        return function()
    except InputError:
        raise
    except Exception as error:  # the user's own code
        reason = " ".join(str(error).split())
        raise InputError(f"{path}:{name} fails with {type(error).__name__}: {reason}", hint=DEBUG) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))


def read(path: Path, name: str, device: str) -> Network:
    """The network that the function returns: a module or any function of a batch of pictures."""
    made = make(path, name)
    digest = file_fingerprint(path)
    if isinstance(made, nn.Module):
        module = frozen(made, device)
        return Network(module, digest + weights.fingerprint(module.state_dict()))
    if not callable(made):
        message = f"{path}:{name} returns a {type(made).__name__}"
        raise InputError(message, hint="return a torch.nn.Module, or a gmmedit.classifiers.Classifier")

    def forward(images: Tensor) -> Tensor:
        return made(images)

    return Network(forward, digest)
