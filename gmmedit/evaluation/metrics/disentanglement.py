"""Metrics of disentangled codes against known factors, with the formulas and frozen settings of disentanglement_lib.

Codes are float (N, J), factors int (N, F): indices of each factor's values. The settings are those of Locatello et al.
2019 ("Challenging common assumptions in the unsupervised learning of disentangled representations"), whose code is the
field's reference; a score is comparable with published ones only with them and with the published sample counts.
scikit-learn, of the extra `baselines`, is imported when a metric needs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmmedit.runtime.extras import import_extra

BINS = 20  # of the histogram of each code dimension, in MIG
PRUNE = 0.05  # variance below which FactorVAE leaves a dimension out; the code is first scaled to a largest one of 1
SVM_C = 0.01  # in SAP
SEED = 0  # of the classifiers
TINY = 1e-11  # added to importances before their entropy

Array = np.ndarray


@dataclass(frozen=True)
class Coded:
    """Codes (N, J) of images and their factors (N, F)."""

    codes: Array
    factors: Array

    def columns(self, own: slice) -> "Coded":
        """The same of some dimensions of the codes."""
        return Coded(self.codes[:, own], self.factors)


@dataclass(frozen=True)
class Voted:
    """One row per batch of images: what a metric computes of its codes, and the factor that was held fixed.

    features: (P, J) the variance of each code dimension (FactorVAE) or its mean absolute difference (BetaVAE).
    fixed: (P,) int.
    """

    features: Array
    fixed: Array

    def columns(self, own: slice) -> "Voted":
        """The same of some dimensions of the codes."""
        return Voted(self.features[:, own], self.fixed)


def mutual_information_gap(data: Coded, bins: int = BINS) -> float:
    """MIG in [0, 1] (Chen et al. 2018): of each factor, how much more the best dimension knows than the second best.

    In units of the factor's entropy, averaged over factors; dimensions are binned between their extremes.
    ValueError: fewer than two dimensions, or a factor of one value.
    """
    if data.codes.shape[1] < 2:
        raise ValueError("a gap needs at least two code dimensions")
    binned = [bin_codes(column, bins) for column in data.codes.T]
    gaps = []
    for factor in data.factors.T:
        entropy = mutual_information(factor, factor)
        if entropy <= 0:
            raise ValueError("a factor has one value only")
        known = sorted(mutual_information(column, factor) for column in binned)
        gaps.append((known[-1] - known[-2]) / entropy)
    return float(np.mean(gaps))


def bin_codes(column: Array, bins: int = BINS) -> Array:
    """The bin (N,), from 1 on, of each number of a code dimension (N,), as numpy's histogram divides its range."""
    edges = np.histogram(column, bins)[1]
    return np.digitize(column, edges[:-1])


def mutual_information(a: Array, b: Array) -> float:
    """The mutual information, in nats, of two columns (N,) of whole numbers."""
    _, rows = np.unique(a, return_inverse=True)
    _, columns = np.unique(b, return_inverse=True)
    joint = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(joint, (rows, columns), 1 / len(a))
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness, informativeness (accuracy on test codes), all in [0, 1]; importance (J, F)."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Array


def score_dci(train: Coded, test: Coded, trees: int = 100) -> DCI:
    """DCI (Eastwood and Williams 2018) with gradient-boosted trees, as disentanglement_lib.

    A classifier of each factor is fitted on all dimensions of the code; its importances form the matrix. trees: of
    each; 100 in the published protocol. InputError: scikit-learn is missing.
    """
    ensemble = import_extra("sklearn.ensemble", "DCI")
    columns, accuracies = [], []
    for f in range(train.factors.shape[1]):
        model = ensemble.GradientBoostingClassifier(n_estimators=trees, random_state=SEED)
        model.fit(train.codes, train.factors[:, f])
        columns.append(np.abs(model.feature_importances_))
        accuracies.append(np.mean(model.predict(test.codes) == test.factors[:, f]))
    importance = np.stack(columns, 1)
    return DCI(disentanglement(importance), completeness(importance), float(np.mean(accuracies)), importance)


def disentanglement(importance: Array) -> float:
    """How far each code dimension is important for one factor only, from importances (J, F); weighted by importance."""
    own = 1 - entropy(importance.T + TINY) / np.log(importance.shape[1])
    return float((own * share(importance.sum(1))).sum())


def completeness(importance: Array) -> float:
    """How far each factor is known from one code dimension only, from importances (J, F); weighted by importance."""
    own = 1 - entropy(importance + TINY) / np.log(importance.shape[0])
    return float((own * share(importance.sum(0))).sum())


def share(weights: Array) -> Array:
    """Weights (M,) divided by their sum; equal ones if all are 0."""
    return weights / weights.sum() if weights.sum() else np.full(len(weights), 1 / len(weights))


def entropy(weights: Array) -> Array:
    """The entropy (M,), in nats, of each column of non-negative weights (L, M)."""
    p = weights / weights.sum(0)
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=0)


def score_factor_vae(train: Voted, test: Voted, variances: Array) -> float:
    """The FactorVAE score (Kim and Mnih 2018), the accuracy of a majority vote, in [0, 1].

    features: variances within each batch of the code's dimensions, in which one factor is fixed. variances: (J,) of
    all codes. The dimension that varies least, relative to these, votes for the factor that was fixed. A code none of
    whose dimensions varies gives 0. The largest variance is scaled to 1 first, so that PRUNE means the same for codes
    of any scale; those of a VAE have about that variance.
    """
    active = np.flatnonzero(variances >= PRUNE * variances.max()) if variances.max() > 0 else np.empty(0, int)
    if not len(active):
        return 0.0
    counts = np.zeros((len(variances), int(max(train.fixed.max(), test.fixed.max())) + 1))
    np.add.at(counts, (least_varying(train, variances, active), train.fixed), 1)
    votes = counts.argmax(1)
    return float(np.mean(votes[least_varying(test, variances, active)] == test.fixed))


def least_varying(batches: Voted, variances: Array, active: Array) -> Array:
    """The active dimension (P,) whose variance within each batch is the least share of its variance in all."""
    found: Array = active[(batches.features[:, active] / variances[active]).argmin(1)]
    return found


def score_beta_vae(train: Voted, test: Voted) -> float:
    """The BetaVAE score (Higgins et al. 2017): the accuracy, in [0, 1], of a linear classifier of the shared factor.

    features: mean absolute differences of the codes of pairs that share one factor. InputError: scikit-learn is
    missing.
    """
    linear_model = import_extra("sklearn.linear_model", "BetaVAE")
    model = linear_model.LogisticRegression(random_state=SEED, max_iter=1000)
    scale = train.features.std() or 1.0
    model.fit(train.features / scale, train.fixed)
    return float(np.mean(model.predict(test.features / scale) == test.fixed))


def separated_predictability(train: Coded, test: Coded) -> float:
    """SAP in [0, 1] (Kumar et al. 2018): of each factor, how much better the best dimension predicts it than the next.

    Each dimension alone predicts each factor by a linear SVM (C 0.01, balanced classes), as in disentanglement_lib. A
    line separates few values along one dimension, so that a perfect code of many values has a low SAP. ValueError:
    fewer than two dimensions. InputError: scikit-learn is missing.
    """
    if train.codes.shape[1] < 2:
        raise ValueError("SAP needs at least two code dimensions")
    svm = import_extra("sklearn.svm", "SAP")
    scores = np.zeros((train.codes.shape[1], train.factors.shape[1]))
    for j, f in np.ndindex(*scores.shape):
        model = svm.LinearSVC(C=SVM_C, class_weight="balanced", random_state=SEED)
        model.fit(train.codes[:, j : j + 1], train.factors[:, f])
        scores[j, f] = np.mean(model.predict(test.codes[:, j : j + 1]) == test.factors[:, f])
    ranked = np.sort(scores, axis=0)
    return float(np.mean(ranked[-1] - ranked[-2]))


def score_codes(train: Coded, test: Coded, trees: int = 100) -> Mapping[str, Any]:
    """MIG of the training codes, DCI and SAP, by name. Errors as of these."""
    found = score_dci(train, test, trees)
    return {
        "mig": mutual_information_gap(train),
        "dci_disentanglement": found.disentanglement,
        "dci_completeness": found.completeness,
        "dci_informativeness": found.informativeness,
        "sap": separated_predictability(train, test),
    }
