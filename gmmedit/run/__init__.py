"""A run folder: its artifacts, the networks that they name, and images as the run asked for."""
