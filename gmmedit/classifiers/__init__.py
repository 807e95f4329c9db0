"""Classifiers: image to labels. `load` opens one by name, file, or the YAML file that describes it."""

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.catalogue import REGISTRY, evaluation_classifier, list_names, load

__all__ = ["REGISTRY", "Attribute", "Classifier", "evaluation_classifier", "list_names", "load"]
