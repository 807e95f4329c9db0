"""What a BiGAN's encoder leaves in the rest of a latent of what its causes tell: found by regression, and taken out.

The structural prior says that rest and causes are independent; a trained encoder's rest still tells the causes of most
images, and a generator that has learned to believe it does not obey an act. So the networks' rest is taken as
b + m W + L e, with the causes' messages m as in `structural`: e, standard normal and uncorrelated with the causes, is
what a latent holds. An act on the causes then moves the networks' rest along with them, as much as it went with them in
the training images, and samples have the covariances that the generator was trained with.
"""

import torch
from torch import Tensor, nn

RIDGE = 10.0  # images, by which the regression is held to 0
LEAST = 1e-3  # added to the variance of what is left


class RestGivenCauses(nn.Module):
    """rest = bias + messages W + L e, for messages (N, C) of causes and a rest of R dims."""

    bias: Tensor
    weight: Tensor
    factor: Tensor

    def __init__(self, causes: int, rest: int):
        super().__init__()
        self.register_buffer("bias", torch.zeros(rest))
        self.register_buffer("weight", torch.zeros(causes, rest))
        self.register_buffer("factor", torch.eye(rest))  # L, lower triangular

    def open(self, e: Tensor, messages: Tensor) -> Tensor:
        """The networks' rest (N, R) of e (N, R)."""
        return self.bias + messages @ self.weight + e @ self.factor.T

    def close(self, rest: Tensor, messages: Tensor) -> Tensor:
        """The inverse of `open`."""
        left = rest - self.bias - messages @ self.weight
        return torch.linalg.solve_triangular(self.factor, left.T, upper=False).T

    @torch.no_grad()
    def fit(self, rest: Tensor, variance: Tensor, messages: Tensor) -> None:
        """Fit to the encoder's means and variances (N, R) of images whose causes have messages (N, C)."""
        told, left = messages.double(), rest.double()
        centre, mean = told.mean(dim=0), left.mean(dim=0)
        apart = told - centre
        ridge = RIDGE * torch.eye(apart.shape[1], dtype=apart.dtype, device=apart.device)
        weight = torch.linalg.solve(apart.T @ apart + ridge, apart.T @ (left - mean))
        left = left - mean - apart @ weight
        covariance = left.T @ left / len(left) + torch.diag(variance.double().mean(dim=0) + LEAST)
        self.weight.copy_(weight)
        self.bias.copy_(mean - centre @ weight)
        self.factor.copy_(torch.linalg.cholesky(covariance))
