"""What CLIP sees of a picture: moved, zoomed and noisy, so that no fine texture can please it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from uip2p.learning.randomness import Draw


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """noise: largest standard deviation, pictures in [-1, 1]. shift: largest move, fraction of the side. zoom: largest
    enlargement. All zero (the paper's recipe) leaves pictures as they are. Nothing is mirrored: captions say left and
    right."""

    noise: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0


def augment(pictures: Tensor, config: AugmentConfig, draw: Draw, name: str) -> Tensor:
    """pictures [B, 3, H, W] in [-1, 1] → the same shape. The same draw and name change a sample's pictures alike."""
    if config.shift or config.zoom:
        pictures = move(pictures, config, draw, name)
    if config.noise:
        strength = draw.uniform(f"{name}/strength").to(pictures.device) * config.noise
        noise = draw.normal(f"{name}/noise", tuple(pictures.shape[1:])).to(pictures.device)
        pictures = pictures + strength.view(-1, 1, 1, 1) * noise
    return pictures


def move(pictures: Tensor, config: AugmentConfig, draw: Draw, name: str) -> Tensor:
    """Shift and zoom each picture by its own draw; the border repeats."""
    offset = (draw.uniform(f"{name}/shift", (2,)) * 2 - 1) * 2 * config.shift
    scale = 1 / (1 + draw.uniform(f"{name}/zoom") * config.zoom)
    theta = torch.zeros(len(pictures), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = offset
    grid = F.affine_grid(theta.to(pictures.device), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
