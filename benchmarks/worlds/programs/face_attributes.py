"""Seven two-valued attributes of a 64-pixel face as log-odds, from face-api's networks and from brightness.

A file of settings says what the networks look at, and which score divides an attribute's values: it is measured on the
generator's own samples.
"""

import json
from hashlib import sha256
from pathlib import Path

import torch
from face_networks import HAPPY, load_network
from torch import Tensor, nn

ATTRIBUTES = ("gender", "age", "smile", "mouth", "pose", "face", "background")
LUMA = (0.299, 0.587, 0.114)
QUARTILE = 2.2  # log-odds half the distance of the quartiles from the middle: about half of the labels are above .9
EYES, LEFT, RIGHT, NOSE, UPPER_LIP, LOWER_LIP = (
    slice(36, 48),
    slice(36, 42),
    slice(42, 48),
    30,
    (61, 62, 63),
    (65, 66, 67),
)


class FaceAttributes(nn.Module):
    """Images (N, 3, 64, 64) in [-1, 1] to log-odds (N, 7) of the second values of ATTRIBUTES.

    settings: `landmarks`, a network's name; `looks`, each with boxes [top, left, side] for the landmarks (`wide`) and
    for the other networks (`tight`), mirrored or not, whose scores are averaged; `face` and `background`, boxes [top,
    left, bottom, right] whose brightness is measured; `middle` and `quartile`, for each attribute the score that
    divides its values and half the distance of its scores' quartiles.
    """

    def __init__(self, settings: dict) -> None:
        super().__init__()
        self.settings = settings
        self.landmarks = load_network(settings["landmarks"])
        self.age_gender, self.expression = load_network("age_gender"), load_network("expression")
        self.register_buffer("middle", torch.tensor(settings.get("middle", [0.0] * len(ATTRIBUTES))))
        self.register_buffer("quartile", torch.tensor(settings.get("quartile", [1.0] * len(ATTRIBUTES))))
        digest = sha256(json.dumps(settings, sort_keys=True).encode()).digest()
        self.register_buffer("digest", torch.tensor(list(digest)))  # gmmedit's fingerprint is that of tensors

    def forward(self, images: Tensor) -> Tensor:
        return (self.scores(images) - self.middle) / self.quartile * QUARTILE

    def scores(self, images: Tensor) -> Tensor:
        """Scores (N, 7), each in its own unit: log-odds, years, shares of a face's size, brightness in [-1, 1]."""
        found = [self.look_at(images, look) for look in self.settings["looks"]]
        brightness = [measure_brightness(images, self.settings[name]) for name in ("face", "background")]
        return torch.cat([torch.stack(found).mean(0), torch.stack(brightness, 1)], 1)

    def look_at(self, images: Tensor, look: dict) -> Tensor:
        """The networks' scores (N, 5) of one look."""
        images = images.flip(3) if look["mirror"] else images
        tight = cut(images, look["tight"])
        years, male = self.age_gender(tight)
        mouth, pose = measure_landmarks(self.landmarks(cut(images, look["wide"])))
        sign = -1 if look["mirror"] else 1
        return torch.stack([male, years, log_odds_happy(self.expression(tight)), mouth, sign * pose], 1)


def cut(images: Tensor, box: list[int]) -> Tensor:
    """The square [top, left, side] of the images."""
    top, left, side = box
    return images[:, :, top : top + side, left : left + side]


def log_odds_happy(logits: Tensor) -> Tensor:
    """Log-odds (N,) of the expression happy, from logits (N, 7)."""
    others = [i for i in range(logits.shape[1]) if i != HAPPY]
    return logits[:, HAPPY] - logits[:, others].logsumexp(1)


def measure_landmarks(points: Tensor) -> tuple[Tensor, Tensor]:
    """The height of the open mouth, and how far right of the eyes' middle the nose is (N,), in distances of eyes."""
    apart = (points[:, RIGHT].mean(1) - points[:, LEFT].mean(1)).norm(dim=1).clamp(min=0.05)
    gap = points[:, LOWER_LIP, 1].mean(1) - points[:, UPPER_LIP, 1].mean(1)
    return gap / apart, (points[:, NOSE, 0] - points[:, EYES, 0].mean(1)) / apart


def measure_brightness(images: Tensor, boxes: list[list[int]]) -> Tensor:
    """Mean luma (N,) in [-1, 1] over boxes [top, left, bottom, right]."""
    luma = (images * torch.tensor(LUMA, device=images.device)[:, None, None]).sum(1)
    parts = [luma[:, top:bottom, left:right].flatten(1) for top, left, bottom, right in boxes]
    return torch.cat(parts, 1).mean(1)


def load_attributes(name: str) -> FaceAttributes:
    """The attributes as the file of that name beside this one says."""
    return FaceAttributes(json.loads(Path(__file__).with_name(name).read_text()))
