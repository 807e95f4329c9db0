"""How work is done: files, signals, progress, processes, logs, trust. No result depends on this package."""
