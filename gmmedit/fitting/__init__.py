"""Shared by both fits: the data, and the loop with its checkpoints."""
