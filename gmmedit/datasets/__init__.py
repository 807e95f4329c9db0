"""Where images with labels or factors come from. `load` opens a data set by name, folder or file."""

from gmmedit.datasets.base import DataSet
from gmmedit.datasets.catalogue import REGISTRY, load

__all__ = ["REGISTRY", "DataSet", "load"]
