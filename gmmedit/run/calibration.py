"""Calibration of the labelling classifier on a run's first samples."""

from collections.abc import Callable

from torch import Tensor

from gmmedit.classifiers import Classifier
from gmmedit.errors import InputError
from gmmedit.runtime.distributed import Processes

CALIBRATED_ON = 1024  # number of first rows


def calibrate(
    classifier: Classifier, classify_first: Callable[[int], Tensor], n: int, processes: Processes
) -> dict[str, object]:
    """Calibrate the classifier on the first of n samples, if it supports that; attributes of labels.h5.

    classify_first: the number of first rows to their logits (M, K). InputError: none of these rows has a label.
    """
    calibration = classifier.calibration
    if calibration is None:
        return {}

    def fit() -> dict[str, list[float]]:
        logits = classify_first(min(n, CALIBRATED_ON))
        labelled = logits.isfinite().all(1)
        if not labelled.any():
            message = f"none of the first {len(logits)} samples has a label to calibrate on"
            raise InputError(message, hint="add labels of these rows")
        calibration.fit(logits[labelled])
        return calibration.state()

    state = processes.broadcast(fit)
    calibration.load(state)
    return {"calibration": state}
