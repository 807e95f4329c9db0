"""Feature networks: image to features. `load_embedder` finds one by its name, its file, or its YAML."""

from gmmedit.features.base import Embedder
from gmmedit.features.catalogue import load_embedder

__all__ = ["Embedder", "load_embedder"]
