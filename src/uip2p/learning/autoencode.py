"""Training the small autoencoder on pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from uip2p.images import grid, to_tensor, to_uint8
from uip2p.learning.objective import Batch, Outcome, pictures
from uip2p.learning.randomness import Draw


@dataclass(frozen=True, slots=True)
class AutoencodeConfig:
    """Weights of the loss terms. edges: on the differences of neighbouring pixels, which is what the eye follows.
    crop: train on random crops of this side (0: whole pictures); the network is convolutional, so more and smaller
    steps teach it as much for a quarter of the work."""

    edges: float = 1.0
    kl: float = 1e-3
    crop: int = 0


class AutoencodeObjective(nn.Module):
    """|x − D(z)| + edges · |∇x − ∇D(z)| + kl · KL(q(z|x) ‖ N(0, 1)), z ~ q(z|x)."""

    def __init__(self, vae: AutoencoderKL, config: AutoencodeConfig, calibration: Sequence[np.ndarray]):
        """calibration: some pictures, uint8 [H, W, 3], from which the latents' scaling factor is measured at export."""
        super().__init__()
        self.vae, self.config, self.calibration = vae, config, calibration

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        x = pictures(batch, device=self.vae.device)
        if self.config.crop:
            x = random_crop(x, self.config.crop, draw)
        posterior = self.vae.encode(x).latent_dist
        noise = draw.normal("latent", tuple(posterior.mean.shape[1:])).to(x.device)
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        error = (decoded - x).abs().flatten(1).mean(1)
        losses = {
            "pixels": error,
            "edges": self.config.edges * edge_error(decoded, x),
            "kl": self.config.kl * posterior.kl() / posterior.mean[0].numel(),
        }
        psnr = -10 * torch.log10(((decoded - x) / 2).square().flatten(1).mean(1))
        return Outcome(losses, {"psnr": psnr.detach()})

    @torch.no_grad()
    def samples(self, batch: Batch, draw: Draw) -> np.ndarray:
        x = pictures(batch[:8], device=self.vae.device)
        decoded = self.vae.decode(self.vae.encode(x).latent_dist.mode()).sample
        return np.asarray(grid([*to_uint8(x), *to_uint8(decoded)], columns=len(x)))

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        latents = self.vae.encode(to_tensor(np.stack(self.calibration)).to(self.vae.device)).latent_dist.mode()
        self.vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
        self.vae.save_pretrained(folder, safe_serialization=True)


def random_crop(x: Tensor, side: int, draw: Draw) -> Tensor:
    """[B, C, H, W] → [B, C, side, side], each from a place of its own."""
    tops, lefts = (draw.integers(name, x.shape[axis] - side + 1).tolist() for name, axis in (("top", -2), ("left", -1)))
    return torch.stack([p[:, i : i + side, j : j + side] for p, i, j in zip(x, tops, lefts, strict=True)])


def edge_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical neighbour differences, [B, C, H, W] → [B]."""
    d = a - b
    across = (d[..., :, 1:] - d[..., :, :-1]).abs().flatten(1).mean(1)
    down = (d[..., 1:, :] - d[..., :-1, :]).abs().flatten(1).mean(1)
    return across + down
