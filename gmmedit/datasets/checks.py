"""What the data sets share: fingerprints, and changes of labels and factors for counterfactuals."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets.base import Changes, DataSet, Rows
from gmmedit.errors import InputError, nearest


def digest(*parts: object) -> str:
    """SHA-256 over texts, numbers, tuples of them, and the bytes of arrays, in order."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(f"{part.dtype} {part.shape}".encode())
            sha.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            sha.update(repr(part).encode())
        sha.update(b"\n")
    return sha.hexdigest()


def change_labels(data: DataSet, rows: Rows, changes: Changes) -> tuple[Tensor, Tensor]:
    """Labels (n, A) and factors (n, F; F is 0 where there are none) of the rows with `changes` made in all of them.

    InputError: an unknown attribute, value or factor.
    """
    labels = data.labels(rows).clone()
    factors = data.true_factors(rows)
    factors = torch.empty(len(labels), 0) if factors is None else factors.clone()
    names, reals = [attribute.name for attribute in data.attributes], list(data.factors or ())
    for name, value in changes.items():
        if name in names:
            attribute = data.attributes[names.index(name)]
            if value not in attribute.values:
                raise InputError(f"{name} has no value {value!r}", hint=nearest(str(value), attribute.values))
            labels[:, names.index(name)] = attribute.values.index(str(value))
        elif name in reals and not isinstance(value, str):
            factors[:, reals.index(name)] = float(value)
        else:
            raise InputError(f"{data.name} has no attribute or factor {name!r}", hint=nearest(name, [*names, *reals]))
    return labels, factors
