"""Rows of an artifact computed again."""
