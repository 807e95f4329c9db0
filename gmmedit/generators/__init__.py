"""Generators: latent to image. `load` opens one by name or file, `describe` describes a file."""

from gmmedit.generators.base import Generator
from gmmedit.generators.catalogue import CATALOGUE, load, paired_classifier
from gmmedit.generators.formats.detect import describe

__all__ = ["CATALOGUE", "Generator", "describe", "load", "paired_classifier"]
