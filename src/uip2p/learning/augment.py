"""What CLIP sees of a picture: moved, zoomed and noisy, so that no fine texture can please it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from uip2p.errors import UserError
from uip2p.learning.randomness import Draw


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """noise: largest standard deviation, pictures in [-1, 1]. shift: largest move, fraction of the side. zoom: largest
    enlargement. blur: largest standard deviation of a Gaussian, in pixels. views: how many augmentations of each
    sample the loss is the mean of. All zero and one view (the paper's recipe) leaves pictures as they are. Nothing is
    mirrored: captions say left and right."""

    noise: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    blur: float = 0.0
    views: int = 1

    def __post_init__(self) -> None:
        for name in ("noise", "shift", "zoom", "blur"):
            if getattr(self, name) < 0:
                raise UserError(f"augment: {name} must be 0 or more, got {getattr(self, name)}.")
        if self.views < 1:
            raise UserError(f"augment: views must be 1 or more, got {self.views}.")


def augment(pictures: Tensor, config: AugmentConfig, draw: Draw, name: str) -> Tensor:
    """pictures [B, 3, H, W] in [-1, 1] → the same shape. The same draw and name change a sample's pictures alike."""
    if config.shift or config.zoom:
        pictures = move(pictures, config, draw, name)
    if config.blur:
        pictures = blur(pictures, draw.uniform(f"{name}/blur").to(pictures.device) * config.blur, config.blur)
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


def blur(pictures: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Each picture blurred by a Gaussian of its own standard deviation, sigma [B] ≤ largest, in pixels; the border
    repeats."""
    reach = max(1, round(3 * largest))  # of the largest, so that a picture's blur does not depend on its neighbours
    at = torch.arange(-reach, reach + 1, device=pictures.device)
    weights = torch.exp(-0.5 * (at / sigma.clamp(min=0.05)[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    batch, channels, height, width = pictures.shape
    kernels = weights.repeat_interleave(channels, dim=0)
    flat = F.pad(pictures, (reach,) * 4, mode="replicate").reshape(1, batch * channels, height + 2 * reach, -1)
    flat = F.conv2d(flat, kernels[:, None, :, None], groups=batch * channels)
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=batch * channels)
    return flat.reshape(batch, channels, height, width)
