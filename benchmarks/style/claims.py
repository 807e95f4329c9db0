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
STRANGE = 0.08  # difference from every training typeface, pixels in [0, 1], from which on a typeface is a stranger
PROBE_STEPS, PROBE_HIDDEN = 400, 128


@dataclass(frozen=True)
class Task:
    """Held-out typefaces (T,), all letters (K), the letters (T, K, SHOWN) that are shown for each, and true glyphs
    (T, K, C, S, S); `known` are those of the training typefaces (M, K, C, S, S)."""

    data: Glyphs
    shown: Tensor
    true: Tensor
    known: Tensor

    @property
    def strangers(self) -> Tensor:
        """Which held-out typefaces (T,) no training typeface resembles; of many families, one in eight is held out."""
        flat = self.known.flatten(1)
        apart = torch.stack([(flat - face).abs().mean(1).min() for face in self.true.flatten(1)])
        return apart / 2 >= STRANGE

    @property
    def letters(self) -> int:
        """K."""
        return self.true.shape[1]


def make_task(data: Glyphs) -> Task:
    """The task on a data set's held-out typefaces."""
    held = torch.unique(data.labels(data.held_out())[:, 1])
    train = torch.tensor(np.setdiff1d(np.arange(len(data.drawn)), held.numpy()))
    letters = torch.arange(len(data.attributes[0].values))
    rng = np.random.default_rng(SEED)
    shown = np.empty((len(held), len(letters), SHOWN), np.int64)
    for face in range(len(held)):
        for letter in letters.tolist():
            shown[face, letter] = (letter + rng.permutation(np.arange(1, len(letters)))[:SHOWN]) % len(letters)
    return Task(data, torch.from_numpy(shown), draw(data, held, letters), draw(data, train, letters))


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
    """The glyphs (T, K, C, S, S) of the training typeface whose shown letters are nearest by pixels."""
    found = torch.empty_like(task.true)
    for face in range(len(task.true)):
        for letter in range(task.letters):
            shown = task.shown[face, letter]
            distance = (task.known[:, shown] - task.true[face][shown]).abs().flatten(1).mean(1)
            found[face, letter] = task.known[distance.argmin(), letter]
    return found


def baselines(task: Task) -> dict[str, Tensor]:
    """Glyphs (T, K, C, S, S) by what needs no network."""
    count = len(task.true)
    plain = task.data.content(torch.arange(task.letters))
    return {
        "nearest typeface": copy_nearest(task),
        "mean typeface": task.known.mean(0).expand(count, -1, -1, -1, -1),
        "median typeface": task.known.median(0).values.expand(count, -1, -1, -1, -1),
        "content image": plain.expand(count, -1, -1, -1, -1),
    }


@torch.no_grad()
def measure_images(task: Task, images: Tensor, evaluator: Classifier) -> dict[str, float]:
    """Figures of glyphs (T, K, C, S, S).

    distance: mean absolute difference to the true glyph, pixels in [0, 1]; stranger: of typefaces that no training
    typeface resembles. content: share that the evaluation
    classifier reads as their letter. top1, top5: share whose typeface is the nearest, or among the five nearest, of the
    held-out ones by pixels of that letter; typeface: by all its letters. contrast: mean distance of pixels from grey,
    1 in black and white.
    """
    flat = images.flatten(0, 1)
    logits = torch.cat([evaluator.logits(part) for part in flat.split(PART)])
    right = logits.argmax(1) == torch.arange(task.letters).repeat(len(images))
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
        "top1": float((rank == 0).float().mean()),
        "top5": float((rank < 5).float().mean()),
        "typeface": float((whole.argmin(1) == torch.arange(len(images))).float().mean()),
        "contrast": float(images.abs().mean()),
    }


@torch.no_grad()
def encode_letters(network: SAAE, glyphs: Tensor) -> Tensor:
    """Codes (n, K, D) of single letters (n, K, C, S, S)."""
    return torch.cat([network.style(part) for part in glyphs.flatten(0, 1).split(PART)]).unflatten(0, glyphs.shape[:2])


def measure_codes(task: Task, network: SAAE, images: Tensor) -> dict[str, float]:
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
    faces = held.mean(1)
    made = encode_letters(network, images)
    nearest = torch.cdist(made.flatten(0, 1), faces).argmin(1).unflatten(0, made.shape[:2])
    return {
        "letter_from_code": probe(known, held),
        "letter_from_strip": probe(strips_known, strips_held),
        "code_top1": float((nearest == torch.arange(len(faces))[:, None]).float().mean()),
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
