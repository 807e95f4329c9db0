"""Generators: latent to image. `load` finds one by its catalogue name or its file, `describe` tells what a file is."""

from gmmedit.generators.base import Generator
from gmmedit.generators.catalogue import CATALOGUE, load
from gmmedit.generators.formats.detect import describe

__all__ = ["CATALOGUE", "Generator", "describe", "load"]
