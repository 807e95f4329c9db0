"""Images as bytes, contact sheets, charts, HTML."""
