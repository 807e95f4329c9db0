"""Published editors to compare with, and the floors of every comparison."""
