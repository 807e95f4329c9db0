"""Generators: latent to image. `load` finds one by its catalogue name or its file."""

from gmmedit.generators.base import Generator
from gmmedit.generators.catalogue import CATALOGUE, load

__all__ = ["CATALOGUE", "Generator", "load"]
