"""Training: one file for each trainable system, and the runs in a folder that all share (`loop`, `checkpoints`).

A training is a class with `state()`, `load_state(state)` and `run()`, which yields the progress of each step. What a
step does depends on (seed, step) and the parameters alone, so that a resumed run ends with the same bytes.
"""
