"""The four losses of the paper, and how they may weigh. Each is a pure function of tensors, one value a sample, [B].

Norms are divided by the square root of their number of entries (root mean square), so that pixels, maps and cosines
are of one size and a weight means the same at every resolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def direction_loss(
    edited: Tensor, source: Tensor, edited_text: Tensor, source_text: Tensor, floor: float = 1e-3
) -> Tensor:
    """L_CLIP = 1 − cos(E(I_e) − E(I_in), E(T_ed) − E(T_in)): the picture moves the way the text does.

    All four are embeddings [B, D]; → [B] in [0, 2]. floor: the least length by which either difference is divided. A
    picture that did not move at all has cosine 0, loss 1; 1e-3 only keeps rounding from looking like a direction. With
    a floor of the size of real edits, moves below it are rewarded for how far they go the right way: the gradient of a
    plain cosine there grows as 1 / length and turns what is next to a copy in random directions.
    """
    return 1 - F.cosine_similarity(edited - source, edited_text - source_text, dim=-1, eps=floor)


def similarity_loss(edited: Tensor, edited_text: Tensor) -> Tensor:
    """L_sim = 1 − cos(E(I_e), E(T_ed)): embeddings [B, D] → [B] in [0, 2]."""
    return 1 - F.cosine_similarity(edited, edited_text, dim=-1)


def attention_loss(forward: list[Tensor], reverse: list[Tensor], reduce: str = "sum", maps: str = "mean one") -> Tensor:
    """L_attn = Σ_i ‖A_f⁽ⁱ⁾ − A_r⁽ⁱ⁾‖₂: both directions look at the same place.

    One map [B, N_i] a layer, each with mean 1 (`models.attention.content_map`); → [B] ≥ 0. reduce: "sum" over layers
    as in the paper, or "mean", which does not grow with the number of layers. maps: "mean one" compares them as they
    are, which flat maps satisfy best of all; "standard" compares them with mean 0 and deviation 1, so that flattening
    gains nothing and the loss of a layer is √(2 − 2·correlation).
    """
    if maps == "standard":
        forward, reverse = ([standardised(m) for m in side] for side in (forward, reverse))
    layers = torch.stack([root_mean_square(a - b) for a, b in zip(forward, reverse, strict=True)])
    return layers.sum(0) if reduce == "sum" else layers.mean(0)


def standardised(m: Tensor, floor: float = 0.02) -> Tensor:
    """[B, N] → the same with mean 0 and deviation 1 over N; less where the deviation is below the floor, all noise."""
    m = m - m.mean(dim=-1, keepdim=True)
    return m / (m.square().mean(dim=-1, keepdim=True) + floor**2).sqrt()


def reconstruction_loss(
    source: Tensor, reversed_: Tensor, source_embedding: Tensor, reversed_embedding: Tensor, pixel_weight: float = 1.0
) -> Tensor:
    """L_recon = ‖I_in − I_r‖₂ + 1 − cos(E(I_in), E(I_r)): edit and reverse edit come home.

    Pictures [B, 3, H, W] in [-1, 1], embeddings [B, D]; → [B] ≥ 0. pixel_weight is 1 in the paper.
    """
    pixels = root_mean_square((source - reversed_).flatten(1))
    return pixel_weight * pixels + similarity_loss(reversed_embedding, source_embedding)


def firm_reward(execution: Tensor, consistency: Tensor) -> Tensor:
    """R = E · (0.6 + 0.4 · C): what is kept counts only as far as the edit is made, so that a copy earns nothing.

    FIRM's consistency-modulated execution (arXiv 2603.12247). [B], [B] → [B] in [0, 1]; what lies outside [0, 1] is
    taken as the end.
    """
    return execution.clamp(0, 1) * (0.6 + 0.4 * consistency.clamp(0, 1))


def firm_weights(execution: Tensor, consistency: Tensor) -> tuple[Tensor, Tensor]:
    """What a loss on E and a loss on C weigh in a sample, for their gradients to be those of FIRM's reward.

    ∂R/∂E = 0.6 + 0.4 · C and ∂R/∂C = 0.4 · E, each divided by its mean over E and C in [0, 1], so that a weight and the
    learning rate mean what they did: 0.75 + C / 2 in [0.75, 1.25], and 2 · E in [0, 2]. The mean is a number and not
    the batch's: a sample's weight must not depend on which samples share its batch.
    [B], [B] → [B], [B], cut from the graph; what lies outside [0, 1] is taken as the end.
    """
    return 0.75 + consistency.detach().clamp(0, 1) / 2, 2 * execution.detach().clamp(0, 1)


def root_mean_square(difference: Tensor) -> Tensor:
    """[B, N] → [B]: the 2-norm over √N. Smoothed at zero, where the norm has no gradient."""
    return difference.square().mean(dim=-1).add(1e-8).sqrt()
