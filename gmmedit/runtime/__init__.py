"""How work is carried out: files, signals, progress, processes, trust. No result depends on this package."""
