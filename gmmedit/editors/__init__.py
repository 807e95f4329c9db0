"""Editors: ours and the rivals behind one contract, so that evaluation loops over them."""
