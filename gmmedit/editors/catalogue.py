"""Editors by name, in the order of tables: ours, the baselines, the trivial editors, then plug-ins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gmmedit.editors.base import Editor, Material
from gmmedit.errors import InputError
from gmmedit.runtime.extras import import_extra
from gmmedit.runtime.registry import Registry


@dataclass(frozen=True)
class Entry:
    """What is known of an editor before it is made.

    Attributes:
        target: "module:function" from `Material` to `Editor`.
        from_run: whether the run's own fits are the editor's, so that their cost is its cost.
        edit: settings with which `gmmedit edit` does the same as this editor, in addition to those of the evaluation;
            None: `gmmedit edit` cannot.
        needs: modules of optional dependencies.
    """

    target: str
    from_run: bool = False
    edit: Mapping[str, Any] | None = None
    needs: tuple[str, ...] = ()


OURS, BASELINES = "gmmedit.editors.mixture", "gmmedit.editors.baselines"
ENTRIES = {
    "mixture-polished": Entry(f"{OURS}:fit_polished", from_run=True, edit={}),
    "mixture": Entry(f"{OURS}:fit_mixture", from_run=True, edit={"polish": 0}),
    "counterfactual": Entry("gmmedit.editors.counterfactual:fit_counterfactual", from_run=True),
    "mixture-unrefined": Entry(f"{OURS}:fit_unrefined", from_run=True),
    "code": Entry("gmmedit.editors.code:fit_code"),
    "structural": Entry("gmmedit.editors.structural:fit_structural"),
    "interfacegan": Entry(f"{BASELINES}.interfacegan:fit_interfacegan", needs=("sklearn.svm",)),
    "interfacegan-conditional": Entry(f"{BASELINES}.interfacegan:fit_conditional", needs=("sklearn.svm",)),
    "logistic": Entry(f"{BASELINES}.regressions:fit_logistic"),
    "mean-difference": Entry(f"{BASELINES}.regressions:fit_mean_difference"),
    "moments": Entry(f"{BASELINES}.moments:fit_moments"),
    "patent": Entry(f"{BASELINES}.moments:fit_patent"),
    "flow": Entry(f"{BASELINES}.flow:fit_flow", needs=("zuko.flows",)),
    "stylespace": Entry(f"{BASELINES}.stylespace:fit_stylespace"),
    "ganspace": Entry(f"{BASELINES}.unsupervised:fit_ganspace"),
    "sefa": Entry(f"{BASELINES}.unsupervised:fit_sefa"),
    "direction": Entry("gmmedit.editors.direction:fit_direction"),
    "random": Entry(f"{BASELINES}.linear:fit_random"),
    "none": Entry(f"{BASELINES}.linear:fit_none"),
}
REGISTRY = Registry("editor", {name: entry.target for name, entry in ENTRIES.items()}, "gmmedit.editors")
"""Names to functions from `Material` to `Editor`."""


def names() -> list[str]:
    """Every known editor, built-in ones first."""
    return REGISTRY.names()


def entry(name: str) -> Entry:
    """The catalogue's entry. InputError: there is no editor of that name."""
    targets = REGISTRY.targets()
    if name not in targets:
        raise REGISTRY.unknown(name)
    return ENTRIES.get(name) or Entry(targets[name])


def check_extras(editors: Iterable[str]) -> None:
    """InputError: an optional dependency of an editor is not installed, or there is no such editor."""
    for name in editors:
        for module in entry(name).needs:
            import_extra(module, name)


def fit_editor(name: str, material: Material) -> Editor:
    """The editor of that name, made from the material.

    InputError: the name is unknown, or a plug-in fails to import or returns no Editor. Unsuitable: the editor cannot
    work on this generator or in this space.
    """
    editor = REGISTRY.load(name)(material)
    if not isinstance(editor, Editor):
        message = f"editor {name!r} is a {type(editor).__name__}, not an Editor"
        raise InputError(message, hint="subclass gmmedit.editors.base.Editor")
    return editor
