"""What both fits share: the data, and the loop with its checkpoints."""
