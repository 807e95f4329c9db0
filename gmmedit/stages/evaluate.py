"""Score our editors on samples that no fit has seen.

Reads samples.h5, labels.h5, mixture.h5, generator and classifiers; writes evaluation.h5 and evaluation.jsonl.
In the mode "do" it reads graph.h5 too, and writes do_evaluation.h5 and do_evaluation.jsonl.
"""

from pathlib import Path

from gmmedit.config import EvaluateSettings
from gmmedit.evaluation.results import write_figures
from gmmedit.evaluation.sweep import score_editors
from gmmedit.runtime.execution import Execution

OURS = ["mixture-polished", "mixture", "random", "none"]
DO = ["counterfactual", "mixture-polished", "none"]  # in the mode "do"


def run(folder: Path, settings: EvaluateSettings, execution: Execution) -> Path:
    """Write folder/evaluation.h5, or do_evaluation.h5, and its figures beside it. InputError: as `score_editors`."""
    if settings.mode == "do":
        path = score_editors("do_evaluation", DO, folder, settings, execution)
    else:
        path = score_editors("evaluation", OURS, folder, settings, execution)
    if execution.processes.main:
        write_figures(path)
    return path
