"""The interactive page of `gmmedit serve`."""
