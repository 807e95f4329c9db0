"""Edits: the request, the session, latents from files, output files."""
