"""Editors by name, in the order of tables: ours, the rivals, and the floors of every comparison."""

from collections.abc import Callable

from gmmedit.editors.base import Editor, Material
from gmmedit.editors.flow import fit_flow
from gmmedit.editors.interfacegan import fit_conditional, fit_interfacegan
from gmmedit.editors.linear import fit_none, fit_random
from gmmedit.editors.mixture import fit_mixture, fit_polished, fit_unrefined
from gmmedit.editors.moments import fit_moments, fit_patent
from gmmedit.editors.regressions import fit_logistic, fit_mean_difference
from gmmedit.editors.stylespace import fit_stylespace
from gmmedit.editors.unsupervised import fit_ganspace, fit_sefa

EDITORS: dict[str, Callable[[Material], Editor]] = {
    "mixture-polished": fit_polished,
    "mixture": fit_mixture,
    "mixture-unrefined": fit_unrefined,
    "interfacegan": fit_interfacegan,
    "interfacegan-conditional": fit_conditional,
    "logistic": fit_logistic,
    "mean-difference": fit_mean_difference,
    "moments": fit_moments,
    "patent": fit_patent,
    "flow": fit_flow,
    "stylespace": fit_stylespace,
    "ganspace": fit_ganspace,
    "sefa": fit_sefa,
    "random": fit_random,
    "none": fit_none,
}
