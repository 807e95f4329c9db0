"""Public models by name: where they come from, under which licence, and how they get here. No torch, no unpickling."""

from gmmedit.hub.catalogue import CATALOGUE, Entry, locate
from gmmedit.hub.fetching import fetch, fetch_model, presence

__all__ = ["CATALOGUE", "Entry", "fetch", "fetch_model", "locate", "presence"]
