"""Residual transfer: a large picture edited at the model's own size keeps its own fine detail.

The model sees the picture x as its small round trip r = D(E(↓x)), and answers with the small edited picture e. What
the edit did is the difference of the two, and that is what a large picture is given:

    out = (1 − τ) · (x + γ · ↑(e − r)) + τ · ↑e

γ is 0 where the difference is within the model's own noise: there the picture stays as it was, bit for bit. τ is 1
where the difference is strong, so that no old detail shows through what is new. An edit of the whole picture that is
one map of colours (night, sepia, black and white) is found first, as the affine map M with e ≈ M(r); M(x) and M(r)
then stand for x and r, and all detail stays.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uip2p.images import to_tensor, to_uint8

NOISE = (0.08, 0.20)  # |e − r| in [-1, 1]: γ rises from 0 to 1 here
STRONG = (0.35, 0.60)  # and τ here
TONE_FIT = 0.25  # a colour map that leaves at most this share of the squared difference is the edit
STRIP = 256  # rows at a time: a picture of 50 megapixels needs no gigabytes


def transfer(picture: np.ndarray, edited: Tensor, round_trip: Tensor) -> np.ndarray:
    """picture uint8 [H, W, 3]; edited, round_trip float [3, h, w] in [-1, 1] -> the edited picture, uint8 [H, W, 3]."""
    edited, round_trip = edited.float().clamp(-1, 1).cpu(), round_trip.float().clamp(-1, 1).cpu()
    tone = fit_tone(edited, round_trip)
    difference = edited - apply_tone(tone, round_trip)
    noise, strong = masks(difference)

    height, width = picture.shape[:2]
    small = edited.shape[1:]
    cubic_y, cubic_x = resize_weights(height, small[0], cubic=True), resize_weights(width, small[1], cubic=True)
    linear_y, linear_x = resize_weights(height, small[0], cubic=False), resize_weights(width, small[1], cubic=False)
    out = np.empty_like(picture)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        x = to_tensor(picture[rows])
        gamma, tau = (linear_y[rows] @ mask @ linear_x.T for mask in (noise, strong))
        change, new = cubic_y[rows] @ torch.stack([difference, edited]) @ cubic_x.T  # [3, rows, W] each
        out[rows] = to_uint8((1 - tau) * (apply_tone(tone, x) + gamma * change) + tau * new)
    return out


def masks(difference: Tensor) -> tuple[Tensor, Tensor]:
    """difference [3, h, w] -> (γ, τ), both [h, w] in [0, 1]."""
    strength = difference.abs().amax(dim=0)[None]
    mean = F.avg_pool2d(F.pad(strength, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    near = F.max_pool2d(mean, 3, stride=1, padding=1)  # an edit is no single pixel; its soft edge belongs to it
    grown = F.max_pool2d(strength, 3, stride=1, padding=1)
    filled = -F.max_pool2d(-grown, 3, stride=1, padding=1)  # holes, where old and new happen to agree, are closed
    return smoothstep(near[0], *NOISE), smoothstep(filled[0], *STRONG)


def fit_tone(edited: Tensor, round_trip: Tensor) -> Tensor | None:
    """The affine map of colours M [3, 4] with edited ≈ M(round_trip), if one map is the whole edit; None otherwise."""
    size = round_trip[0].numel()
    colors = torch.cat([round_trip.flatten(1), torch.ones(1, size)]).double()  # [4, N]
    difference = (edited - round_trip).flatten(1).double()
    if difference.abs().mean() < NOISE[0]:
        return None
    ridge = 1e-3 * size * torch.eye(4, dtype=torch.float64)  # where colours do not tell, change nothing
    change = torch.linalg.solve(colors @ colors.T + ridge, colors @ difference.T).T  # [3, 4]
    left = (difference - change @ colors).square().sum()
    if left > TONE_FIT * difference.square().sum():
        return None
    return (change + torch.eye(3, 4, dtype=torch.float64)).float()


def apply_tone(tone: Tensor | None, picture: Tensor) -> Tensor:
    """M [3, 4] of a picture [3, H, W] in [-1, 1], clamped; None is the picture itself."""
    if tone is None:
        return picture
    return (torch.einsum("ij,jhw->ihw", tone[:, :3], picture) + tone[:, 3, None, None]).clamp(-1, 1)


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth between."""
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def resize_weights(size: int, small: int, cubic: bool) -> Tensor:
    """[size, small]: row i holds what each of the small pixels gives to pixel i. The pictures' edges coincide."""
    at = (torch.arange(size) + 0.5) * (small / size) - 0.5
    d = (at[:, None] - torch.arange(small)).abs()
    if cubic:  # Keys 1981, a = −1/2
        weights = torch.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
        weights = weights * (d < 2)
    else:
        weights = (1 - d).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
