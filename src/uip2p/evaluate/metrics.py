"""How good is an edit? Pure functions: pictures float [B, 3, H, W] in [0, 1] -> one number a sample, [B].

Every function raises ValueError for a picture that is not finite, leaves [0, 1] or has another shape: a metric that
is fed [-1, 1] by mistake is the classic silent fault of this field. Shown beside one another on purpose: L1, L2,
CLIP-I and the outside error all reward an editor that does nothing; the inside error and the direction do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

TOLERANCE = 1e-4  # beyond [0, 1] by rounding only
SSIM_LEAST = 6  # half of the window is reflected at each border


def _pictures(**named: Tensor) -> None:
    """Raise ValueError unless every tensor is [B, 3, H, W], all of one shape, finite and within [0, 1]."""
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"pictures of different shapes: {shapes}")
    for name, x in named.items():
        if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
            raise ValueError(f"{name}: expected float [B, 3, H, W], got {x.dtype} {tuple(x.shape)}")
        if not torch.isfinite(x).all():
            raise ValueError(f"{name}: not finite (NaN or infinity)")
        if x.numel() and (x.min() < -TOLERANCE or x.max() > 1 + TOLERANCE):
            raise ValueError(f"{name}: expected [0, 1], got [{x.min():.3g}, {x.max():.3g}]")


def _embeddings(**named: Tensor) -> None:
    """Raise ValueError unless every tensor is [B, D], all of one shape and finite."""
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(f"expected embeddings [B, D] of one shape, got {shapes}")
    for name, x in named.items():
        if not torch.isfinite(x).all():
            raise ValueError(f"{name}: not finite (NaN or infinity)")


def _mask(mask: Tensor, picture: Tensor) -> Tensor:
    """bool or {0, 1} [B, H, W] -> float64 [B, 1, H, W]."""
    if mask.shape != (picture.shape[0], *picture.shape[2:]):
        raise ValueError(f"mask: expected [B, H, W] of {tuple(picture.shape)}, got {tuple(mask.shape)}")
    if not torch.isin(mask.double(), torch.tensor([0.0, 1.0], dtype=torch.float64, device=mask.device)).all():
        raise ValueError("mask: expected only 0 and 1")
    return mask.double()[:, None]


# Pixels

def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean |output − target| over channels and pixels. [B, 3, H, W] in [0, 1], twice -> [B] in [0, 1], 0 is best."""
    _pictures(output=output, target=target)
    return (output - target).abs().mean((1, 2, 3))


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Mean (output − target)², no root, as MagicBrush prints it. [B, 3, H, W] in [0, 1], twice -> [B] in [0, 1]."""
    _pictures(output=output, target=target)
    return (output - target).square().mean((1, 2, 3))


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """−10 log₁₀ L2, in dB. [B, 3, H, W] in [0, 1], twice -> [B] in [0, inf]; inf for identical pictures."""
    from torchmetrics.functional.image import peak_signal_noise_ratio  # here, as it takes seconds to import

    _pictures(output=output, target=target)
    return peak_signal_noise_ratio(output, target, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels and σ 1.5, k₁ .01, k₂ .03, each channel on
    its own, pictures continued by reflection. [B, 3, H, W] in [0, 1], twice -> [B] in [-1, 1], 1 is best; in float32
    exact to 1e-4.

    ValueError also for a picture that the window does not fit into: each side has at least 6 pixels."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _pictures(output=output, target=target)
    if min(output.shape[2:]) < SSIM_LEAST:
        raise ValueError(f"ssim: each side needs {SSIM_LEAST} pixels, got {tuple(output.shape[2:])}")
    found = structural_similarity_index_measure(output, target, reduction="none", data_range=1.0)
    return cast(Tensor, found)


def absolute_sum(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Σ |a − b| over the masked pixels, mean over channels. Pictures [B, 3, H, W], mask [B, H, W] -> [B] ≥ 0.

    The part all region errors are built of: sums of it over samples give ratios of sums, which, unlike a mean of
    ratios, one nearly empty mask cannot swamp."""
    _pictures(a=a, b=b)
    return ((a.double() - b.double()).abs() * _mask(mask, a)).mean(1).sum((1, 2))


def inside_error(output: Tensor, target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """Σ_mask |output − target| / Σ_mask |source − target|: what of the edit is still missing.

    0: exact; 1: no better than copying the input; above 1: worse than doing nothing. [B] ≥ 0.
    ValueError where source and target do not differ under the mask: then nothing was to be done there."""
    wanted = absolute_sum(source, target, mask)
    if (wanted == 0).any():
        raise ValueError("inside_error: source and target are equal under a mask")
    return absolute_sum(output, target, mask) / wanted


def outside_error(output: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """Mean |output − source| over the pixels outside the mask: what was changed that nobody asked for.

    [B] in [0, 1]; NaN where the mask covers the whole picture (there is no outside)."""
    outside = ~mask.bool()
    return absolute_sum(output, source, outside) / outside.sum((1, 2))


# Embeddings

def _cosine(a: Tensor, b: Tensor) -> Tensor:
    _embeddings(a=a, b=b)
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=1)


def clip_image_similarity(output: Tensor, target: Tensor) -> Tensor:
    """CLIP-I: cos(E(output), E(target)). Embeddings [B, D], twice -> [B] in [-1, 1], 1 is best."""
    return _cosine(output, target)


def clip_text_similarity(output: Tensor, caption: Tensor) -> Tensor:
    """CLIP-T: cos(E(output), E(edited caption)). Embeddings [B, D], twice -> [B] in [-1, 1]."""
    return _cosine(output, caption)


def clip_direction(output: Tensor, source: Tensor, edited_caption: Tensor, caption: Tensor) -> Tensor:
    """cos(E(output) − E(source), E(T_ed) − E(T_in)): did the picture change the way the words did?

    Embeddings [B, D] -> [B] in [-1, 1]. Defined as 0 where picture or words do not change (no direction at all)."""
    _embeddings(output=output, source=source, edited_caption=edited_caption, caption=caption)
    moved, meant = output.double() - source.double(), edited_caption.double() - caption.double()
    still = (moved.norm(dim=1) < 1e-6) | (meant.norm(dim=1) < 1e-6)
    return _cosine(moved, meant).masked_fill(still, 0.0)


def dino(output: Tensor, target: Tensor) -> Tensor:
    """cos of DINO's embeddings: what is in the picture, in no words. [B, D], twice -> [B] in [-1, 1], 1 is best."""
    return _cosine(output, target)


# Features

def lpips(output: Sequence[Tensor], target: Sequence[Tensor], heads: Sequence[Tensor]) -> Tensor:
    """Learned perceptual distance (Zhang et al. 2018): Σ_l mean_hw Σ_c w_lc (f̂_lc(output) − f̂_lc(target))².

    Features of each layer l, [B, C, h, w], of both pictures, f̂ of length 1 over the channels; heads w_l: [C] ≥ 0.
    -> [B] ≥ 0, 0 is best. ValueError: features that are not finite, or layers that do not fit."""
    distances = []
    for number, (f, g, head) in enumerate(zip(output, target, heads, strict=True)):
        if f.ndim != 4 or f.shape != g.shape or head.shape != f.shape[1:2]:
            shapes = f"{tuple(f.shape)}, {tuple(g.shape)} and {tuple(head.shape)}"
            raise ValueError(f"lpips: layer {number} needs twice [B, C, h, w] and [C], got {shapes}")
        if not (torch.isfinite(f).all() and torch.isfinite(g).all()):
            raise ValueError(f"lpips: the features of layer {number} are not finite (NaN or infinity)")
        difference = (_unit_channels(f) - _unit_channels(g)).square()
        distances.append((difference * head[:, None, None]).sum(1).mean((1, 2)))
    return torch.stack(distances).sum(0)


def _unit_channels(features: Tensor) -> Tensor:
    """The added 1e-8 is torchmetrics': where no channel speaks, the length stays 0."""
    return features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt()


# Both at once

def firm_product(execution: Tensor, consistency: Tensor) -> Tensor:
    """execution · (0.6 + 0.4 · consistency), both [B] in [0, 1] -> [B] in [0, 1] (FIRM, arXiv 2603.12247).

    A copy of the input has execution 0 and so scores 0, however well it keeps the rest."""
    for name, x in (("execution", execution), ("consistency", consistency)):
        if not torch.isfinite(x).all() or (x.numel() and (x.min() < -TOLERANCE or x.max() > 1 + TOLERANCE)):
            raise ValueError(f"{name}: expected finite values in [0, 1]")
    return execution * (0.6 + 0.4 * consistency)
