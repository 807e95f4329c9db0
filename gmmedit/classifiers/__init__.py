"""Classifiers: image to labels. `load` finds one by its catalogue name or its file."""

from gmmedit.classifiers.base import Attribute, Classifier
from gmmedit.classifiers.catalogue import CATALOGUE, load

__all__ = ["CATALOGUE", "Attribute", "Classifier", "load"]
