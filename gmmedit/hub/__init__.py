"""Public models by name: where they come from, under which licence, and how they get here. No torch, no unpickling."""

from gmmedit.hub.catalogue import CATALOGUE, Entry, is_url, locate, locate_url, name_of_url, url_path
from gmmedit.hub.fetching import fetch, fetch_model, presence

__all__ = [
    "CATALOGUE",
    "Entry",
    "fetch",
    "fetch_model",
    "is_url",
    "locate",
    "locate_url",
    "name_of_url",
    "presence",
    "url_path",
]
