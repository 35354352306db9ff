"""The four losses of the paper. Each is a pure function of tensors and gives one value a sample, [B].

Norms are divided by the square root of their number of entries (root mean square), so that pixels, maps and cosines
are of one size and a weight means the same at every resolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def direction_loss(edited: Tensor, source: Tensor, edited_text: Tensor, source_text: Tensor) -> Tensor:
    """L_CLIP = 1 − cos(E(I_e) − E(I_in), E(T_ed) − E(T_in)): the picture moves the way the text does.

    All four are embeddings [B, D]; → [B] in [0, 2]. A picture that did not move at all has
    cosine 0, loss 1; the floor of 1e-3 under both lengths keeps rounding from looking like a direction.
    """
    return 1 - F.cosine_similarity(edited - source, edited_text - source_text, dim=-1, eps=1e-3)


def similarity_loss(edited: Tensor, edited_text: Tensor) -> Tensor:
    """L_sim = 1 − cos(E(I_e), E(T_ed)): embeddings [B, D] → [B] in [0, 2]."""
    return 1 - F.cosine_similarity(edited, edited_text, dim=-1)


def attention_loss(forward: list[Tensor], reverse: list[Tensor], reduce: str = "sum") -> Tensor:
    """L_attn = Σ_i ‖A_f⁽ⁱ⁾ − A_r⁽ⁱ⁾‖₂: both directions look at the same place.

    One map [B, N_i] a layer, each with mean 1 (`models.attention.content_map`); → [B] ≥ 0. reduce: "sum" over layers
    as in the paper, or "mean", which does not grow with the number of layers.
    """
    layers = torch.stack([root_mean_square(a - b) for a, b in zip(forward, reverse, strict=True)])
    return layers.sum(0) if reduce == "sum" else layers.mean(0)


def reconstruction_loss(
    source: Tensor, reversed_: Tensor, source_embedding: Tensor, reversed_embedding: Tensor, pixel_weight: float = 1.0
) -> Tensor:
    """L_recon = ‖I_in − I_r‖₂ + 1 − cos(E(I_in), E(I_r)): edit and reverse edit come home.

    Pictures [B, 3, H, W] in [-1, 1], embeddings [B, D]; → [B] ≥ 0. pixel_weight is 1 in the paper.
    """
    pixels = root_mean_square((source - reversed_).flatten(1))
    return pixel_weight * pixels + similarity_loss(reversed_embedding, source_embedding)


def root_mean_square(difference: Tensor) -> Tensor:
    """[B, N] → [B]: the 2-norm over √N. Smoothed at zero, where the norm has no gradient."""
    return difference.square().mean(dim=-1).add(1e-8).sqrt()
