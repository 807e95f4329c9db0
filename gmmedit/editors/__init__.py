"""Editors: ours and the baselines behind one contract, so that an evaluation loops over them."""
