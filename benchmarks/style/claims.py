"""The claims on held-out typefaces: content, distance to the true glyph, retrieval, what a style's code tells."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers import Classifier
from gmmedit.datasets.glyphs import Glyphs
from gmmedit.networks.saae import SAAE

SHOWN = 4  # letters of a typeface that its style is read from
SEED = 20_261_128  # of the choice of those letters
PART = 128  # images at once
READABLE = 0.9  # share of a typeface's true glyphs that the evaluation classifier reads, from which on it is readable
STRANGE = 0.08  # difference from every training typeface, pixels in [0, 1], from which on a typeface is a stranger
PROBE_STEPS, PROBE_HIDDEN = 400, 128


@dataclass(frozen=True)
class Task:
    """Held-out styles (T,), all letters (K), the letters (T, K, SHOWN) that are shown for each, and true glyphs
    (T, K, C, S, S); `known` are those of the training styles (M, K, C, S, S). A typeface of several pairs of colours is
    there once, in the first."""

    data: Glyphs
    held: Tensor
    train: Tensor
    shown: Tensor
    true: Tensor
    known: Tensor

    @property
    def strangers(self) -> Tensor:
        """Which held-out typefaces (T,) no training typeface resembles; of many families, one in eight is held out."""
        drawn = torch.from_numpy(self.data.drawn).flatten(1).float() / 255
        held, train = (drawn[styles // self.data.variants] for styles in (self.held, self.train))
        return torch.stack([(train - face).abs().mean(1).min() for face in held]) >= STRANGE

    @property
    def letters(self) -> int:
        """K."""
        return self.true.shape[1]


def make_task(data: Glyphs) -> Task:
    """The task on a data set's held-out typefaces."""
    held = torch.unique(data.labels(data.held_out())[:, 1])[:: data.variants]
    train = torch.tensor(np.setdiff1d(np.arange(len(data.drawn)) * data.variants, held.numpy()))
    letters = torch.arange(len(data.attributes[0].values))
    rng = np.random.default_rng(SEED)
    shown = np.empty((len(held), len(letters), SHOWN), np.int64)
    for face in range(len(held)):
        for letter in letters.tolist():
            shown[face, letter] = (letter + rng.permutation(np.arange(1, len(letters)))[:SHOWN]) % len(letters)
    return Task(data, held, train, torch.from_numpy(shown), draw(data, held, letters), draw(data, train, letters))


def draw(data: Glyphs, faces: Tensor, letters: Tensor) -> Tensor:
    """All letters of the typefaces (n, K, C, S, S)."""
    return torch.stack([data.render(letters, face.expand(len(letters))) for face in faces])


def strips(task: Task, face: int) -> Tensor:
    """What is shown of a held-out typeface for each letter: (K, C, S, SHOWN S)."""
    return torch.cat(list(task.true[face][task.shown[face]].unbind(1)), dim=3)


@torch.no_grad()
def generate(task: Task, network: SAAE) -> Tensor:
    """The network's glyphs (T, K, C, S, S) of the typefaces, each from letters other than itself."""
    letters = torch.arange(task.letters)
    return torch.stack([network(letters, strips(task, face)) for face in range(len(task.true))])


def copy_nearest(task: Task) -> Tensor:
    """The glyphs (T, K, C, S, S) of the training typeface whose shown letters are nearest by pixels.

    Of coloured glyphs, the shapes are compared without colours, and the copy has the true colours.
    """
    drawn = torch.from_numpy(task.data.drawn).float()
    faces, held = task.train // task.data.variants, task.held // task.data.variants
    known = drawn[faces]
    found = torch.empty_like(task.true)
    for face in range(len(held)):
        for letter in range(task.letters):
            shown = task.shown[face, letter]
            apart = (known[:, shown] - drawn[held[face]][shown]).abs().flatten(1).mean(1)
            style = faces[apart.argmin()] * task.data.variants
            found[face, letter] = recolour(task, torch.tensor([letter]), style, face)[0]
    return found


def recolour(task: Task, letters: Tensor, style: Tensor, face: int) -> Tensor:
    """The true glyphs (n, C, S, S) of letters (n,) of a style, in the colours of a held-out one."""
    if not task.data.factors:
        return task.data.render(letters, style.expand(len(letters)))
    grey = torch.from_numpy(task.data.drawn[int(style) // task.data.variants][letters.numpy()])[:, None].float() / 255
    ink, paper = task.data.colours[task.held[face]][..., None, None]
    return (ink + (paper - ink) * grey) * 2 - 1


def baselines(task: Task) -> dict[str, Tensor]:
    """Glyphs (T, K, C, S, S) by what needs no network."""
    count = len(task.true)
    plain = task.data.content(torch.arange(task.letters)).expand(-1, task.true.shape[2], -1, -1)
    return {
        "nearest typeface": copy_nearest(task),
        "mean typeface": task.known.mean(0).expand(count, -1, -1, -1, -1),
        "median typeface": task.known.median(0).values.expand(count, -1, -1, -1, -1),
        "content image": plain.expand(count, -1, -1, -1, -1),
    }


@torch.no_grad()
def read_letters(images: Tensor, evaluator: Classifier) -> Tensor:
    """The letters (T, K) that the evaluation classifier reads in glyphs (T, K, C, S, S)."""
    logits = torch.cat([evaluator.logits(part) for part in images.flatten(0, 1).split(PART)])
    return logits.argmax(1).unflatten(0, images.shape[:2])


@torch.no_grad()
def measure_images(task: Task, images: Tensor, evaluator: Classifier) -> dict[str, float]:
    """Figures of glyphs (T, K, C, S, S).

    distance: mean absolute difference to the true glyph, pixels in [0, 1]; stranger: of typefaces that no training
    typeface resembles. content: share that the evaluation classifier reads as their letter; readable: of the typefaces
    whose true glyphs it reads in READABLE; legible: of the letters whose true glyph it reads. top1, top5: share whose
    typeface is the nearest, or among the five nearest, of the held-out ones by pixels of that letter; typeface: by all
    its letters. contrast: mean distance of pixels from grey, 1 in black and white. Of coloured glyphs, ink and paper:
    mean absolute error of these colours in [0, 1], medians of the pixels that are all of one of them in the true glyph.
    """
    right, legible = (read_letters(part, evaluator) == torch.arange(task.letters) for part in (images, task.true))
    readable = legible.float().mean(1) >= READABLE
    apart = torch.stack([  # (T of the images, T of the true ones, K)
        (face[None] - task.true).abs().flatten(2).mean(2) for face in images
    ])  # fmt: skip
    own = torch.diagonal(apart).T  # (T, K)
    rank = (apart < own[:, None]).sum(1)
    whole = apart.mean(2)
    return {
        "distance": float(own.mean()) / 2,
        "stranger": float(own[task.strangers].mean()) / 2,
        "content": float(right.float().mean()),
        "readable": float(right[readable].float().mean()),
        "typefaces readable": float(readable.sum()),
        "legible": float(right[legible].float().mean()),
        "top1": float((rank == 0).float().mean()),
        "top5": float((rank < 5).float().mean()),
        "typeface": float((whole.argmin(1) == torch.arange(len(images))).float().mean()),
        "contrast": float(images.abs().mean()),
    } | (measure_colours(task, images) if task.data.factors else {})


def measure_colours(task: Task, images: Tensor) -> dict[str, float]:
    """See `measure_images`: ink and paper, of the letters that have such pixels."""
    grey = torch.from_numpy(task.data.drawn)[task.held // task.data.variants]  # (T, K, S, S)
    found: dict[str, list[Tensor]] = {"ink": [], "paper": []}
    for face, glyphs in enumerate(images):
        true = task.data.colours[task.held[face]] * 2 - 1  # (2, 3)
        for part, colour, level in zip(found, true, (0, 255), strict=True):
            masks = grey[face] == level
            found[part] += [
                (glyph[:, mask].median(1).values - colour).abs().mean() / 2
                for glyph, mask in zip(glyphs, masks, strict=True) if mask.any()
            ]  # fmt: skip
    return {part: float(torch.stack(errors).mean()) for part, errors in found.items()}


@torch.no_grad()
def encode_letters(network: SAAE, glyphs: Tensor) -> Tensor:
    """Codes (n, K, D) of single letters (n, K, C, S, S)."""
    return torch.cat([network.style(part) for part in glyphs.flatten(0, 1).split(PART)]).unflatten(0, glyphs.shape[:2])


def measure_codes(task: Task, network: SAAE) -> dict[str, float]:
    """What the style's codes tell.

    letter_from_code: accuracy of a fresh probe (an MLP, trained on training typefaces) that reads from the code of one
    letter which one it is; letter_from_strip: from the code of the shown letters, which letter is asked for. code_top1:
    share of generated glyphs whose code is nearest to that of their own typeface.
    """
    known, held = encode_letters(network, task.known), encode_letters(network, task.true)
    letters = torch.arange(task.letters)
    places = torch.from_numpy(np.random.default_rng(SEED).integers(1, task.letters, (len(known), task.letters, SHOWN)))
    others = (letters[:, None] + places) % task.letters
    strips_known = torch.stack([codes[chosen].mean(1) for codes, chosen in zip(known, others, strict=True)])
    strips_held = torch.stack([codes[chosen].mean(1) for codes, chosen in zip(held, task.shown, strict=True)])
    return {
        "letter_from_code": probe(known, held),
        "letter_from_strip": probe(strips_known, strips_held),
    }


def swap(task: Task, network: SAAE, images: Tensor, evaluator: Classifier) -> tuple[Tensor, Tensor]:
    """What is found in generated glyphs (T, K, C, S, S) of every content in every style: two matrices of shares.

    (K, K): of content k over all styles, what the evaluation classifier reads. (T, T): of style t over all contents,
    whose code, the mean over a typeface's true letters, is nearest to that of the glyph.
    """
    letters = torch.nn.functional.one_hot(read_letters(images, evaluator), task.letters).float()  # (T, K, K)
    faces = encode_letters(network, task.true).mean(1)
    codes = encode_letters(network, images)
    nearest = torch.cdist(codes.flatten(0, 1), faces).argmin(1).unflatten(0, codes.shape[:2])
    return letters.mean(0), torch.nn.functional.one_hot(nearest, len(faces)).float().mean(1)


def measure_swaps(content: Tensor, style: Tensor) -> dict[str, float]:
    """Figures of the matrices of `swap`: code_top1: share of glyphs whose style is found by its code; content_kept: of
    two glyphs of a content in different styles the share that is read alike; style_kept: of two glyphs of a style."""
    n_styles, n_letters = len(style), len(content)
    pairs = [
        ((matrix * count).square().sum(1) - count) / (count * (count - 1))
        for matrix, count in ((content, n_styles), (style, n_letters))
    ]
    return {
        "code_top1": float(style.diagonal().mean()),
        "content_kept": float(pairs[0].mean()),
        "style_kept": float(pairs[1].mean()),
    }


def probe(train: Tensor, test: Tensor) -> float:
    """Accuracy on test codes (m, K, D) of a probe of the letter, trained on codes (n, K, D)."""
    letters = train.shape[1]
    x, y = train.flatten(0, 1), torch.arange(letters).repeat(len(train))
    mean, spread = x.mean(0), x.std(0).clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], PROBE_HIDDEN), torch.nn.ReLU(), torch.nn.Linear(PROBE_HIDDEN, letters)
        )
        adam = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-4)
        for _ in range(PROBE_STEPS):
            rows = torch.randint(len(x), (512,))
            loss = torch.nn.functional.cross_entropy(network((x[rows] - mean) / spread), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
    with torch.no_grad():
        found = network((test.flatten(0, 1) - mean) / spread).argmax(1)
    return float((found == torch.arange(letters).repeat(len(test))).float().mean())
