"""Where images with labels or factors come from."""
