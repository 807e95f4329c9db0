"""`edit --do` where the generator's own latents hold the causes: the counterfactual of its structural equations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import RunSpec
from gmmedit.editing.do import aim_columns, alphas_of, share_out
from gmmedit.editing.request import Attributes, Request
from gmmedit.editing.rows import render_rows
from gmmedit.editing.session import EditSession
from gmmedit.errors import InputError
from gmmedit.run.interventions import Act, find_place, parse_act, to_tensors, value_of

NOTE = "what follows is solved in the generator's own equations, which hold the graph that it was trained with"


@dataclass(frozen=True)
class OwnCauses:
    """The acts of each column, by place among the generator's causes; attributes: of the run, all among the causes."""

    attributes: Attributes
    acts: tuple[Mapping[int, Act], ...]
    names: tuple[str, ...]  # of the causes
    effects: tuple[tuple[str, ...], ...]  # of each column

    def mark(self, spec: RunSpec, request: Request) -> RunSpec:
        """The specification of edits.h5 with what follows in each column."""
        config = dict(spec.config) | {"do": True, "descendants": [list(each) for each in self.effects]}
        return replace(spec, config=config, sizes=dict(spec.sizes) | {"A": len(self.attributes)})

    def notes(self, request: Request) -> list[str]:
        """Where the causes are from."""
        return [NOTE]

    def edit_rows(
        self, session: EditSession, images: Sequence[int], request: Request, latent: Tensor,
        photographs: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """See `do.edit_rows`: latents (N, 1, D) of W, moved by alpha of the way to the counterfactual."""
        before = session.generate(latent)
        ends = [
            torch.cat([self.solve(session, row[:, 0], acts) for row in latent.split(1)])[:, None] for acts in self.acts
        ]
        moved = [latent + alpha * (end - latent) for alpha, end in zip(alphas_of(request), ends, strict=True)]
        chosen = [self.names.index(name) for name, _ in self.attributes]
        targets = np.stack([self.classify(session, end[:, 0])[:, chosen] for end in ends])
        aims = [[self.category_of(session, place, act) for place, act in acts.items()] for acts in self.acts]
        shown = render_rows(session, latent, before, moved, *aim_columns(request, aims, len(latent)), photographs)
        return shown | {"targets": targets}

    def solve(self, session: EditSession, w: Tensor, acts: Mapping[int, Act]) -> Tensor:
        """The counterfactual (1, D) of one latent (1, D)."""
        generator = session.renderer.generator
        w = w.to(generator.device)
        return generator.counterfactual(w, to_tensors(acts, len(w), w.device)).cpu()

    def classify(self, session: EditSession, w: Tensor) -> np.ndarray:
        """The values (N, A) of all causes in latents (N, D), of numbers the classes."""
        generator = session.renderer.generator
        read = generator.read_causes(w.to(generator.device)).cpu().tolist()
        return np.array([[value_of(generator, place, value) for place, value in enumerate(row)] for row in read])

    def category_of(self, session: EditSession, place: int, act: Act) -> int:
        """The column among the K categories of the run that an act is, or whose class holds it."""
        name, start = self.names[place], 0
        for other, values in self.attributes:
            if other == name:
                break
            start += len(values)
        return start + value_of(session.renderer.generator, place, act)


def find_own_causes(session: EditSession, request: Request, attributes: Attributes) -> OwnCauses | None:
    """The acts of a request in the generator's own causes; None: its latents hold none, or not all attributes of the
    run. InputError: the fit is not in W, or an act names an unknown attribute or value."""
    generator, gan = session.renderer.generator, session.renderer.settings.gan
    known = {name: list(values) for name, values in generator.causes}
    if not known or any(known.get(name) != list(values) for name, values in attributes):
        return None
    if session.space != "w":
        raise InputError("the generator's causes are in W, the fit is not", hint="gmmedit fit-single --space w --force")
    places = [find_place(generator, aim.attribute, gan, aim.attribute) for aim in request.aims]
    single = [{place: parse_act(generator, place, aim.value)} for place, aim in zip(places, request.aims, strict=True)]
    acts = share_out(request, single)
    names = tuple(known)
    effects = tuple(tuple(names[place] for place in generator.follow(list(act))) for act in acts)
    return OwnCauses(attributes, tuple(acts), names, effects)
