"""A user's MLP trained on a few thousand digits, first as a VAE's decoder, then as a GAN's generator; resumable."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gmmedit.training.checkpoints import read_checkpoint, save_checkpoint
from worlds.classifying import move

VAE_STEPS, VAE_BATCH, VAE_LR = 3_000, 128, 1e-3
STEPS, BATCH, LR, R1, R1_EVERY = 5_000, 64, 5e-4, 2.0, 8
KEEP, SAVE_EVERY = 0.998, 500  # of the moving average, a step


class Discriminator(nn.Module):
    """Images (N, 1, 28, 28) to logits (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 48, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(48 * 49 + 1, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x)
        spread = (x.var(0) + 1e-6).sqrt().mean().expand(len(x), 1)  # of the batch: shows that all images are alike
        return self.head(torch.cat([x, spread], 1))[:, 0]


def train(images: Tensor, generator: nn.Module, average: nn.Module, folder: Path) -> None:
    """Train on images (n, 1, 28, 28) in [-1, 1]; `average` becomes the moving average of the generator."""
    checkpoint = folder / "gan.checkpoint"
    saved = read_checkpoint(checkpoint)
    if not saved:
        train_decoder(images, generator)
        save_sheet(generator, folder / "samples_decoder.png")
    torch.manual_seed(1)
    networks = {"generator": generator, "average": average, "discriminator": Discriminator()}
    average.load_state_dict(generator.state_dict())
    for name in ("generator", "discriminator"):
        networks[f"{name}_adam"] = torch.optim.Adam(networks[name].parameters(), LR, (0.0, 0.99))
    for name, network in networks.items() if saved else ():
        network.load_state_dict(saved[name])
    for step in range(saved["step"] if saved else 0, STEPS):
        torch.manual_seed(1_000_003 + step)
        step_networks(networks, images, step)
        if (step + 1) % SAVE_EVERY == 0:
            save_checkpoint({name: n.state_dict() for name, n in networks.items()} | {"step": step + 1}, checkpoint)
            save_sheet(average, folder / f"samples_{step + 1:06d}.png")
            print(f"digits: step {step + 1} of {STEPS}", flush=True)


def train_decoder(images: Tensor, generator: nn.Module) -> None:
    """Train the generator as a VAE's decoder (Kingma and Welling 2014), with which it covers all digits."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * generator.z_dim))
    adam = torch.optim.Adam([*encoder.parameters(), *generator.parameters()], VAE_LR)
    for _ in range(VAE_STEPS):
        batch = small_moves(images[torch.randint(len(images), (VAE_BATCH,))])
        mean, log_deviation = encoder(batch).chunk(2, 1)
        rebuilt = generator(mean + log_deviation.exp() * torch.randn_like(mean))
        light, rebuilt = (batch.clamp(-1, 1) + 1) / 2, (rebuilt + 1).clamp(1e-4, 2 - 1e-4) / 2
        divergence = (mean.square() + (2 * log_deviation).exp() - 1) / 2 - log_deviation
        descend(adam, (F.binary_cross_entropy(rebuilt, light, reduction="sum") + divergence.sum()) / VAE_BATCH)


def step_networks(networks: dict, images: Tensor, step: int) -> None:
    """One step of each network: non-saturating loss, lazy R1 (Mescheder et al. 2018), linear decay at the end."""
    g, d = networks["generator"], networks["discriminator"]
    for name in ("generator_adam", "discriminator_adam"):
        for group in networks[name].param_groups:
            group["lr"] = LR * min(1.0, 4 * (1 - step / STEPS))
    real = small_moves(images[torch.randint(len(images), (BATCH,))]).requires_grad_(True)
    real_logits, fake_logits = d(real), d(g(torch.randn(BATCH, g.z_dim)).detach())
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    if step % R1_EVERY == 0:
        (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
        loss = loss + R1_EVERY * R1 / 2 * slope.square().sum((1, 2, 3)).mean()
    descend(networks["discriminator_adam"], loss)
    descend(networks["generator_adam"], F.softplus(-d(g(torch.randn(BATCH, g.z_dim)))).mean())
    with torch.no_grad():
        for mean, now in zip(networks["average"].parameters(), g.parameters(), strict=True):
            mean.lerp_(now, 1 - KEEP)


def small_moves(images: Tensor) -> Tensor:
    """Slightly turned, sheared, scaled and shifted images, as more handwriting."""
    return move(images, 0.08, 0.12, 0.05, 0.04)


def descend(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


@torch.no_grad()
def save_sheet(generator: nn.Module, path: Path, rows: int = 8, columns: int = 16) -> None:
    """Images of fixed latents as a PNG."""
    z = torch.randn(rows * columns, generator.z_dim, generator=torch.Generator().manual_seed(0))
    images = ((generator(z) + 1) * 127.5).clamp(0, 255).byte().reshape(rows, columns, 28, 28)
    sheet = Image.fromarray(images.permute(0, 2, 1, 3).reshape(rows * 28, columns * 28).numpy())
    sheet.resize((sheet.width * 2, sheet.height * 2)).save(path)
