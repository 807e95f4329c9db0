"""Edits found image by image: the control vector zs is a point of the component, made of its own members.

Where every layer of the generator has a latent of its own (W+), an edit moves each of them towards a convex combination
of the image's neighbours: free steps arrive everywhere, and leave the manifold of the samples. One latent for all
layers allows no such combination: there a few steps follow from the best of several simple edits, on the sphere that
the prior lives on. Both minimise one price (``gmmedit.mixture.price``), and the cheapest step is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gmmedit.mixture import combination
from gmmedit.mixture.adam import Adam
from gmmedit.mixture.combination import Combination
from gmmedit.mixture.held import attribute_of
from gmmedit.mixture.neighbours import Neighbours, PriceWeights
from gmmedit.mixture.paths import measure_path
from gmmedit.mixture.price import LOOKS, Price
from gmmedit.mixture.score import Score

MEMBERS = 64  # neighbours that are combined
WAYS = (2.0, 3.5, 6.0)  # logits of the share of the way to their mean, from one of which the steps start
LIKENESS = -2.0  # logit of the share of a layer's difference from the mean that is given up, at first
RESTORED = 2  # looks of which a layer is restored, of LOOKS
SHARE_RATE = 0.15  # of Adam, for logits
TRIED = 8  # neighbours that are tried as edits of a single latent
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way to each of them
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)  # of the simple edits that are tried
SPHERE_RATE = 0.03  # of Adam, in standard deviations of the prior


@dataclass(frozen=True)
class Optimisation:
    """How edits are found for each image.

    Attributes:
        score: coordinates x to logits and images, differentiable.
        neighbours: labelled samples, of which edits are made.
        contrast: (BANDS,) change between two samples, see ``band_change``.
        weights: of an edit's price.
        steps: of Adam; 0: one pass of the `combination`.
        combination: chooses the combination of neighbours; None: there is none for one latent for all layers.

    All is computed where the neighbours are, so that no step waits for another device.
    """

    score: Score
    neighbours: Neighbours
    contrast: Tensor
    weights: PriceWeights
    steps: int
    combination: Combination | None = None

    def to(self, device: torch.device) -> Optimisation:
        """The same edits, found on another device."""
        combination = self.combination and copy.deepcopy(self.combination).to(device)
        neighbours, contrast = self.neighbours.to(device), self.contrast.to(device)
        return replace(self, neighbours=neighbours, contrast=contrast, combination=combination)

    def in_one_pass(self) -> Optimisation | None:
        """The same edits without steps; None: there is no combination."""
        return replace(self, steps=0) if self.combination is not None else None

    @torch.no_grad()
    def find_offsets(self, x: Tensor, category: Tensor, y: Tensor, control: Tensor, written: Tensor) -> Tensor:
        """Offsets (N, L, D) from x (N, L, D) to an edit towards its category (N,), or all of its categories (N, G).

        Rows are independent. y, control: (N, r) coordinates of x and of the control vectors; written: (N, L or 1, D)
        the fitted displacement, one of the starts where L is 1.
        """
        home, there = x.device, self.neighbours.x.device
        x, category, y, control, written = (part.to(there) for part in (x, category, y, control, written))
        return self.find_there(x, category, y, control, written).to(home)

    def find_there(self, x: Tensor, category: Tensor, y: Tensor, control: Tensor, written: Tensor) -> Tensor:
        """`find_offsets` of tensors on the neighbours' device."""
        if not self.steps:
            return self.combine(x, category, y, control)
        price = Price.of(self.score, x, category, self.neighbours, self.contrast, self.weights)
        thumbnails = self.neighbours.shrink(price.images)
        count = MEMBERS if x.shape[1] > 1 else TRIED
        nearest = self.neighbours.find_nearest(y, control, price.logits, thumbnails, category, self.weights, count).x
        if x.shape[1] > 1:
            return restore_layers(price, optimise_in_hull(price, nearest, self.steps)) - x
        return optimise_on_sphere(price, list_starts(price, written, nearest), self.steps) - x

    def measure_path(self, x: Tensor, offset: Tensor, category: Tensor) -> Tensor:
        """See ``gmmedit.mixture.paths.measure_path``."""
        return measure_path(self.score, x, offset, category, self.neighbours.layout, self.contrast)

    def combine(self, x: Tensor, category: Tensor, y: Tensor, control: Tensor) -> Tensor:
        """`find_offsets` in one pass. ValueError: there is no combination."""
        if self.combination is None:
            raise ValueError("an edit in one pass needs a combination")
        logits, images = self.score(x)
        candidates = self.neighbours.find_nearest(
            y, control, logits, self.neighbours.shrink(images), category, self.weights, combination.MEMBERS
        )
        return self.combination(x, candidates, category) - x


def optimise_in_hull(price: Price, nearest: Tensor, steps: int) -> Tensor:
    """x' (N, L, D) with x'_l = x_l + s_l (sum_k a_lk m_k - x) - t_l (x_l - x), for the price's x_l (N, L, D), mean x.

    Adam steps on the weights a (a softmax) and the shares s and t (sigmoids) of each layer. With the same weights for
    all layers fewer of the other labels are kept. t gives up what distinguishes a layer from the mean: nothing in a
    sample, the likeness in an inversion, which therefore is kept as far as the target allows.

    nearest: (N, M, D) the members m of the component.
    """
    x, middle = price.x, price.x.mean(1, keepdim=True)
    weights, shares = x.new_zeros(*x.shape[:2], nearest.shape[1]), x.new_zeros(x.shape[:2])
    given_up = torch.full_like(shares, LIKENESS)

    def place() -> Tensor:
        way = weights.softmax(2) @ nearest - middle
        return x + shares.sigmoid()[..., None] * way - given_up.sigmoid()[..., None] * (x - middle)

    with torch.no_grad():  # how far: along the way images change abruptly
        found, least = (shares, given_up), x.new_full((len(x),), torch.inf)
        for way in WAYS:
            for lost in (LIKENESS, way):
                shares, given_up = torch.full_like(shares, way), torch.full_like(shares, lost)
                prices = price(place())
                cheaper = (prices < least)[:, None]
                found = torch.where(cheaper, shares, found[0]), torch.where(cheaper, given_up, found[1])
                least = torch.minimum(prices, least)
        shares, given_up = (part.clone() for part in found)
    return take_steps(price, place, [weights, shares, given_up], steps, SHARE_RATE)


@torch.no_grad()
def restore_layers(price: Price, moved: Tensor) -> Tensor:
    """The edits (N, L, D) with the layers of the price's x wherever that is cheaper, tried one after the other.

    What the target does not need stays as it is: the gradient of a layer's small share is small.
    """

    def look_often(candidates: Tensor) -> Tensor:
        return torch.stack([price(candidates, step) for step in range(RESTORED)]).sum(0)

    least = look_often(moved)
    for layer in range(moved.shape[1]):
        tried = moved.clone()
        tried[:, layer] = price.x[:, layer]
        prices = look_often(tried)
        cheaper = prices < least
        least, moved = torch.where(cheaper, prices, least), torch.where(cheaper[:, None, None], tried, moved)
    return moved


def optimise_on_sphere(price: Price, starts: Iterable[Tensor], steps: int) -> Tensor:
    """x' (N, 1, D) of the same norm as the price's x (N, 1, D): Adam steps from the cheapest of some starts (N, 1, D).

    0 steps give that start.
    """
    radius = price.x.norm(dim=2, keepdim=True)

    def project(moved: Tensor) -> Tensor:
        return moved * (radius / moved.norm(dim=2, keepdim=True).clamp_min(1e-12))

    with torch.no_grad():
        best = Cheapest(price.x)
        for start in starts:
            moved = project(start)
            best.offer(moved, price(moved))
    free = best.found.clone()
    return take_steps(price, lambda: project(free), [free], steps, SPHERE_RATE)


def list_starts(price: Price, written: Tensor, nearest: Tensor) -> Iterable[Tensor]:
    """Simple edits (N, 1, D) of the price's x: at several strengths the difference of the component's mean from that of
    the image's own value, and the fitted displacement `written` (N, 1, D); then the way to a few neighbours (N, M, D).
    """
    x, neighbours = price.x, price.neighbours
    means, layout = neighbours.means, neighbours.layout
    goals = price.category.view(len(x), -1)
    own = torch.stack([c.start + price.logits[:, c].argmax(1) for c in layout.columns], 1)  # (N, A)
    own = own.gather(1, attribute_of(layout).to(goals.device)[goals])
    difference = (means[goals] - means[own]).sum(1, keepdim=True)
    for strength in STRENGTHS:
        yield x + strength * difference
        yield x + strength * written
    for neighbour in nearest[:, :TRIED].unbind(1):
        for share in SHARES:
            yield x + share * (neighbour[:, None] - x)


class Cheapest:
    """The cheapest of the places offered so far, for each row apart."""

    def __init__(self, x: Tensor) -> None:
        self.found, self.price = x.clone(), x.new_full((len(x),), torch.inf)

    @torch.no_grad()
    def offer(self, moved: Tensor, price: Tensor) -> None:
        """Keep the rows of `moved` (N, L, D) that are cheaper, at prices (N,), than those found before."""
        cheaper = price < self.price
        self.price = torch.where(cheaper, price, self.price)
        self.found = torch.where(cheaper[:, None, None], moved, self.found)


def take_steps(price: Price, place: Callable[[], Tensor], parameters: list[Tensor], steps: int, rate: float) -> Tensor:
    """The best x (N, L, D) of the places met in Adam steps on the parameters; the rate falls to zero.

    Each step sees the images in one of LOOKS ways. Of the places that are the cheapest in one of them, and the last
    one, the cheapest in all of them is taken: what only one way of seeing accepts has not arrived.
    """
    cheapest = [Cheapest(price.x) for _ in range(LOOKS)]
    with torch.enable_grad():
        for parameter in parameters:
            parameter.requires_grad_(True)
        adam = Adam(parameters)
        for step in range(steps):
            moved = place()
            prices = price(moved, step)
            cheapest[step % LOOKS].offer(moved, prices)
            for parameter, gradient in zip(parameters, torch.autograd.grad(prices.sum(), parameters), strict=True):
                parameter.grad = gradient
            adam.step(rate * (1 - step / steps))
    best = Cheapest(price.x)
    with torch.no_grad():
        for candidate in (place(), *(look.found for look in cheapest[:steps])):
            best.offer(candidate, price.in_all_looks(candidate))
    return best.found
