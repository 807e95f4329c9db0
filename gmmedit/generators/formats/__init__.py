"""Checkpoint files of generators: `detect` finds the format from the content, one reader per format."""
