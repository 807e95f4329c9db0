"""Encoders: image to latent. `load` opens one by name or file, `find_encoder` the one that belongs to a generator."""

from gmmedit.encoders.base import Encoder
from gmmedit.encoders.catalogue import find_encoder, load

__all__ = ["Encoder", "find_encoder", "load"]
