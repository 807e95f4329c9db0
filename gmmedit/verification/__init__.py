"""Recomputation of rows of an artifact."""
