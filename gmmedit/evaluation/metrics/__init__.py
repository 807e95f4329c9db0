"""Metrics, pure: tensors in, numbers out. One file per family."""
