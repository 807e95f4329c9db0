"""The joint critic of a BiGAN: does a pair of image and latent come from the encoder or from the generator?"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gmmedit.networks.bigan import BiGANConfig, Trunk

WIDTH = 256


class JointCritic(nn.Module):
    """D(x, w) = (s_x(x) + s_w(w) + s_xw([x's features, w's features])) / 3, spectrally normalised.

    The split into parts of the marginals and of the pair is that of DEAR (Shen et al. 2022, section 4.3). Large for the
    encoder's pairs.
    """

    def __init__(self, config: BiGANConfig):
        super().__init__()
        self.image = Trunk(config, WIDTH)
        self.latent = nn.Sequential(nn.Linear(config.dim, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU())
        self.pair = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU())
        self.of_image, self.of_latent, self.of_pair = (nn.Linear(WIDTH, 1) for _ in range(3))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                spectral_norm(module)

    def forward(self, images: Tensor, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) and latents (N, D), scaled as the generator takes them, to scores (N,)."""
        x, w = self.image(images), self.latent(latents)
        both = self.of_pair(self.pair(torch.cat([x, w], dim=1)))
        return ((self.of_image(x) + self.of_latent(w) + both) / 3).flatten()


def critic_loss(generated: Tensor, encoded: Tensor) -> Tensor:
    """The critic's loss from its scores (N,) of the generator's and of the encoder's pairs."""
    return F.softplus(generated).mean() + F.softplus(-encoded).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """The generator's loss, with the importance weights of DEAR's f-divergence, within [1/2, 2]."""
    importance = generated.detach().exp().clamp(0.5, 2)
    return -(importance * generated).mean()
