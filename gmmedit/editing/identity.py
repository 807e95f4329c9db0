"""How far edits keep identity: features of edited and unedited images, in units of two samples of the run."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gmmedit import artifacts, classifiers
from gmmedit.features import Embedder, load_embedder
from gmmedit.pictures.pixels import as_shown, from_bytes
from gmmedit.run.folder import RunFolder

COMPARED = 16  # first samples of the run, all pairs of which are compared: 0.15 s of one core at 64 pixels
DIGITS = 6  # of the cosine of two samples


@dataclass(frozen=True)
class IdentityScale:
    """A feature network, its name, and the mean cosine of its features of two samples, in [-1, 1]."""

    embedder: Embedder
    name: str
    pairs: float


@torch.no_grad()
def open_identity_scale(run: RunFolder, features: str | None) -> IdentityScale | None:
    """The scale of a feature network, or of the evaluation classifier that comes with the labelling one.

    None: none is named, and none comes with it; or samples.h5 has a single sample.
    InputError: the network cannot be loaded.
    """
    labelling = str(run.labels.spec.config.get("classifier"))
    name = artifacts.network_source(features) if features else classifiers.evaluation_classifier(labelling)
    if (not features and name == labelling) or run.samples.spec.n < 2:
        return None
    embedder, space = load_embedder(name, run.execution.device, trusted=True), run.fitted_space
    latent = torch.from_numpy(run.samples.rows(space, 0, min(COMPARED, run.samples.spec.n)))
    (found,) = run.execution.in_batches(
        lambda rows: (embed(embedder, as_shown(run.renderer.generate(rows, space))),), latent
    )
    cosines = F.cosine_similarity(found[:, None], found[None], dim=-1)
    apart = ~torch.eye(len(found), dtype=torch.bool)
    return IdentityScale(embedder, name, round(float(cosines[apart].double().mean()), DIGITS))


def compare_identity(embedder: Embedder, before: np.ndarray, after: np.ndarray, device: str) -> np.ndarray:
    """Cosines (S, N, 1), float32, of the features of images uint8 after (S, N, H, W, C) and before (N, H, W, C)."""
    unedited = embed(embedder, from_bytes(before).to(device))
    edited = torch.stack([embed(embedder, from_bytes(images).to(device)) for images in after])
    return F.cosine_similarity(edited, unedited, dim=-1)[..., None].numpy()


@torch.no_grad()
def embed(embedder: Embedder, images: Tensor) -> Tensor:
    """Features (N, F) on the CPU of images (N, C, H, W), one at a time: the last bits depend on the number of rows."""
    return torch.cat([embedder.features(image).cpu() for image in images.split(1)])
