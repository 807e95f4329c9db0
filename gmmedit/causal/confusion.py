"""A classifier's errors: P(label | true value) of each attribute, and counts as they would be without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

ROUNDS, CONVERGED = 100, 1e-6  # of expectation-maximisation; change of the log-likelihood per sample

Maximise = Callable[[np.ndarray], np.ndarray]


def from_truth(labels: np.ndarray, truth: np.ndarray, size: int) -> np.ndarray:
    """The confusion (C, C) of labels (N,) of samples whose true values (N,) are known.

    Half a count is added to every agreement, so that a value that never occurs is taken to be read correctly.
    """
    counts = 0.5 * np.eye(size)
    np.add.at(counts, (labels, truth), 1.0)
    return counts / counts.sum(0)


def from_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """The confusion (C, C) that calibrated probabilities (N, C) imply: their mean where each value is the label.

    P(label i | true j) = P(true j | label i) P(label i) / P(true j).
    """
    size = probabilities.shape[1]
    joint = 1e-9 * np.eye(size)
    np.add.at(joint, probabilities.argmax(1), probabilities.astype(np.float64))
    return joint / joint.sum(0)


def apply(confusions: Sequence[np.ndarray], table: np.ndarray) -> np.ndarray:
    """A table of true values (an axis for each attribute) as the table of labels that the errors make of it."""
    for axis, confusion in enumerate(confusions):
        table = np.moveaxis(np.tensordot(confusion, table, (1, axis)), 0, axis)
    return table


def unfold(counts: np.ndarray, confusions: Sequence[np.ndarray], maximise: Maximise | None = None) -> np.ndarray:
    """The counts of true values that make the counts of labels most likely, by expectation-maximisation.

    Args:
        counts: of labels, an axis for each attribute.
        confusions: of these attributes.
        maximise: from expected counts to those of the nearest distribution that is allowed; None: all are.
    """
    maximise = maximise or (lambda table: table)
    backward = [confusion.T for confusion in confusions]
    found, last = maximise(counts + counts.sum() * 1e-6 / counts.size), -np.inf
    for _ in range(ROUNDS):
        expected = np.maximum(apply(confusions, found), 1e-300)
        likelihood = float((counts * np.log(expected)).sum())
        if likelihood - last < CONVERGED * counts.sum():
            break
        last = likelihood
        found = maximise(found * apply(backward, counts / expected))
    return found


def log_likelihood(counts: np.ndarray, confusions: Sequence[np.ndarray], found: np.ndarray) -> float:
    """The log-likelihood of counts of labels, for counts of true values as `unfold` finds them."""
    expected = apply(confusions, found)
    known = counts > 0
    return float((counts[known] * np.log(np.maximum(expected[known], 1e-300) / expected.sum())).sum())
