"""Avatars, the embedded data set: procedural 64-pixel faces with known factors."""
