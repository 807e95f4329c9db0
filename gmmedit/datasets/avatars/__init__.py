"""The embedded data set: procedural 64-pixel cartoon faces with known factors."""
