"""What the stages share; the stages themselves do not import one another."""
