"""Which samples are fitted, and which are held out to check the fit."""


def fitted_of(n: int, held_out: float) -> int:
    """How many of n samples are fitted: the first ones; the others are held out."""
    return n - max(1, round(held_out * n))
