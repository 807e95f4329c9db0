"""Score our editors and the baselines on the same latents with the same evaluation networks.

Reads what `evaluate` reads, and evaluation.h5 if it exists; writes comparison.h5 and comparison.jsonl.
"""

from pathlib import Path

from gmmedit.config import EvaluateSettings
from gmmedit.editors import catalogue as editors
from gmmedit.evaluation.results import write_figures
from gmmedit.evaluation.sweep import score_editors
from gmmedit.runtime.execution import Execution


def run(folder: Path, settings: EvaluateSettings, execution: Execution) -> Path:
    """Write folder/comparison.h5, and its figures as folder/comparison.jsonl. InputError: as `score_editors`."""
    path = score_editors("comparison", editors.names(), folder, settings, execution)
    if execution.processes.main:
        write_figures(path)
    return path
