"""Published editors, and trivial ones (`random`, `none`), to compare with."""
