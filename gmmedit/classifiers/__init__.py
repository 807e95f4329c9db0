"""Classifiers: image to labels, and feature networks: image to features.

`load` and `load_embedder` find one by its name, its file, or the YAML file that describes it.
"""

from gmmedit.classifiers.base import Attribute, Classifier
from gmmedit.classifiers.catalogue import REGISTRY, load, names
from gmmedit.classifiers.embedding import Embedder, load_embedder

__all__ = ["REGISTRY", "Attribute", "Classifier", "Embedder", "load", "load_embedder", "names"]
