"""Public models by name: their sources, licences and downloads. No torch, no unpickling."""

from gmmedit.hub.catalogue import CATALOGUE, Entry, is_url, locate_model, locate_url, name_of_url, url_path
from gmmedit.hub.fetching import fetch_file, fetch_model, presence

__all__ = [
    "CATALOGUE",
    "Entry",
    "fetch_file",
    "fetch_model",
    "is_url",
    "locate_model",
    "locate_url",
    "name_of_url",
    "presence",
    "url_path",
]
