"""Checkpoint files of generators: what a file is (from its content), and its readers."""
