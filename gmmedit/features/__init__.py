"""Feature networks: image to features. `load_embedder` finds one by its name, its file, or its YAML."""

from gmmedit.features.embedding import Embedder, load_embedder

__all__ = ["Embedder", "load_embedder"]
