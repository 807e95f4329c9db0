"""Find attribute subspaces in a GAN's latent space and edit images inside them."""

__version__ = "0.1.0"
