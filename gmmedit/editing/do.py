"""`edit --do`: requests, and edits of an attribute together with what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.causal.model import Acts, CausalModel
from gmmedit.editing.pasting import PastedColumn
from gmmedit.editing.request import Aim, Attributes, Request
from gmmedit.editing.rows import render_rows
from gmmedit.editing.session import EditSession
from gmmedit.editors.counterfactual import list_goals, values_of
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.run.graphs import AttributeGraph, read_graph

A = TypeVar("A")  # an act: a value, or a number


@dataclass(frozen=True)
class Causes:
    """The graph of a run and its artifact."""

    graph: AttributeGraph
    artifact: Artifact

    def mark(self, spec: RunSpec, request: Request) -> RunSpec:
        """The specification of edits.h5 with the graph among its parents, and what follows in each column."""
        names, acts = self.graph.names, acts_of(request, self.graph)
        effects = [[names[node] for node in self.graph.model.descendants(act)] for act in acts]
        config = dict(spec.config) | {"do": True, "descendants": effects}
        parents = dict(spec.parents) | {"graph": self.artifact.fingerprint}
        return replace(spec, config=config, parents=parents, sizes=dict(spec.sizes) | {"A": len(names)})

    def edit_rows(
        self, session: EditSession, images: Sequence[int], request: Request, latent: Tensor,
        photographs: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """See `edit_rows` below."""
        return edit_rows(session, self, images, request, latent, photographs)

    def notes(self, request: Request) -> list[str]:
        """A note on undirected edges at what is acted on: nothing follows along them."""
        nodes = sorted({node for act in acts_of(request, self.graph) for node in act})
        pairs = self.graph.undetermined(nodes)
        if not pairs:
            return []
        shown = ", ".join(f"{a} - {b}" for a, b in pairs)
        return [
            f"nothing follows along edges of unknown direction ({shown}): gmmedit graph --require 'a->b' directs one"
        ]


def to_do(request: Request, do: Sequence[str], attr: Sequence[str], attributes: Attributes = ()) -> Request:
    """A request whose aims are those of `--do NAME[=VALUE]`, parsed as `--attr` is.

    InputError: it has strengths of its own or below 0, or is combined with what it does not support.
    """
    if attr:
        message = "--do cannot be combined with --attr, which changes nothing but its attribute"
        raise InputError(message, hint="give one of them, or edit twice with --out")
    if request.directions:
        raise InputError("--do cannot be combined with --direction", hint="give one of them, or edit twice with --out")
    if request.target is not None:
        raise InputError("--do cannot be combined with --target", hint="--alpha scales the whole edit")
    for text in do:
        Aim.parse(text, attributes, "--do")
    if min(request.alphas) < 0:
        raise InputError(f"--do has no strength below 0, not {min(request.alphas):g}", hint="--do NAME=OTHER_VALUE")
    return replace(request, do=True)


def acts_of(request: Request, graph: AttributeGraph) -> list[Acts]:
    """What is acted on, for each column of the result: all at once, or with `each` one after the other."""
    ends = np.cumsum([len(values) for _, values in graph.attributes])
    acts = []
    for aim in request.aims:
        category = aim.category(graph.attributes)
        node = int(np.searchsorted(ends, category, "right"))
        acts.append({node: category - int(ends[node]) + len(graph.attributes[node][1])})
    return share_out(request, acts)


def share_out(request: Request, acts: Sequence[Mapping[int, A]]) -> list[Mapping[int, A]]:
    """Acts, one for each aim, by column of the result: all at once, or with `each` one after the other."""
    if request.each:
        return list(acts)
    return [{node: value for act in acts for node, value in act.items()}] * len(request.alphas)


def alphas_of(request: Request) -> list[float]:
    """The strength of each column of a do-edit."""
    return [1.0] * len(request.alphas) if request.each else list(request.alphas)


def aim_columns(request: Request, goals: Sequence[Sequence[int]], n: int) -> tuple[list[Tensor], list[PastedColumn]]:
    """For n images the strengths (n,) of each column, and with them the categories that it sets."""
    scales = [torch.full((n,), alpha) for alpha in alphas_of(request)]
    return scales, [(scale, [(goal, scale) for goal in own]) for scale, own in zip(scales, goals, strict=True)]


def open_causes(run_folder: RunFolder, attributes: Sequence[tuple[str, Sequence[str]]]) -> Causes:
    """The run's graph. InputError: it is missing, or of other attributes."""
    artifact = run_folder.artifact("graph")
    return Causes(read_graph(artifact, attributes), artifact)


def edit_rows(
    session: EditSession, causes: Causes, images: Sequence[int], request: Request, latent: Tensor,
    photographs: np.ndarray | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The datasets of one chunk of latents (N, L, D), as those of `--attr`, and the predicted values.

    images: the numbers of the images, which seed their draws and noise. One image at a time: what follows differs.
    photographs: uint8 (N, H, W, C), into which the edits are pasted; None: there are none.
    """
    before = session.generate(latent)
    labels = before[1] if photographs is None else session.label(photographs)
    values = values_of(torch.from_numpy(labels), session.model.layout)
    model, seed, columns = causes.graph.model, session.settings.seed, acts_of(request, causes.graph)
    targets = np.stack([model.counterfactual(values, acts, images, seed) for acts in columns])
    editors = [session.make_editor([image]) for image in images]
    moved = [
        torch.cat([
            move_to(session, editors[row], latent[row : row + 1], values[row], goals[row], alpha)
            for row in range(len(latent))
        ])
        for goals, alpha in zip(targets, alphas_of(request), strict=True)
    ]  # fmt: skip
    aims = [[category_of(causes.graph, node, value) for node, value in acts.items()] for acts in columns]
    shown = render_rows(session, latent, before, moved, *aim_columns(request, aims, len(latent)), photographs)
    return shown | {"targets": targets}


def category_of(graph: AttributeGraph, node: int, value: int) -> int:
    """The column among the K categories of a value of an attribute."""
    return sum(len(values) for _, values in graph.attributes[:node]) + value


def move_to(
    session: EditSession, editor: MixtureEditor, latent: Tensor, values: np.ndarray, targets: np.ndarray, alpha: float
) -> Tensor:
    """One latent (1, L, D) moved from its values (A,) to the targets (A,), all at once; unmoved if they are equal."""
    goals = list_goals(session.model.layout, values, targets)
    return move_together(session, editor, latent, goals, alpha) if goals else latent


def move_together(
    session: EditSession, editor: MixtureEditor, latent: Tensor, goals: Sequence[int], alpha: float
) -> Tensor:
    """One latent (1, L, D) moved towards categories of different attributes at once, by one price.

    A strength between 0 and 1 is a place on the way, as in `EditSession.move`.
    """
    x = session.chart.to_x(latent)
    return session.chart.carry(latent, editor.edit_together(x, goals, torch.full((len(x),), alpha)))


def predict_goals(
    session: EditSession, causes: CausalModel, labels: np.ndarray, acts: Sequence[int], image: int
) -> list[int]:
    """The categories that an image of labels (K,) gets under acts, categories themselves, where it lacks them."""
    layout = session.model.layout
    values = values_of(torch.from_numpy(labels)[None], layout)
    targets = causes.counterfactual(values, dict(map(layout.locate, acts)), [image], session.settings.seed)
    return list_goals(layout, values[0], targets[0])
