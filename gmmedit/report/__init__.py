"""The HTML page about a run: sections, strips, summaries."""
