"""Pictures with a fault in them, made from captioned pictures alone: what a base learns to repair from.

A patch of another picture is laid in, or a patch's colours are exchanged. The caption still says what belongs there, so
the right answer is the untouched picture: draw what is missing, take out what nobody mentions, give things their
colour back. That is the craft of editing without an edit, an instruction or an edited picture. Edges are soft by a
random width: a base that only looks for seams would learn nothing about captions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uip2p.learning.randomness import Draw

SIDE = (0.3, 0.8)  # of the patch, relative to the picture's
EDGE = (0.02, 0.25)  # width of the patch's soft edge, likewise
LAID_IN = 0.7  # share of faults that are laid in; in the others red, green and blue are exchanged
EXCHANGES = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def damage(x: Tensor, other: Tensor, draw: Draw) -> Tensor:
    """x, other [B, 3, H, W] → x with one patch of each picture laid in from `other`, or with exchanged colours."""
    laid_in = (draw.uniform("damage/kind").to(x.device) < LAID_IN).view(-1, 1, 1, 1)
    order = torch.tensor(EXCHANGES)[draw.integers("damage/colors", len(EXCHANGES)).cpu()].to(x.device)
    exchanged = x.gather(1, order[:, :, None, None].expand_as(x))
    return x + patches(x, draw) * (torch.where(laid_in, other, exchanged) - x)


def patches(x: Tensor, draw: Draw) -> Tensor:
    """One patch a picture, [B, 1, H, W]: 1 inside, 0 outside, its edge in between."""
    edge = EDGE[0] + (EDGE[1] - EDGE[0]) * draw.uniform("damage/edge").cpu()[:, None]
    masks = []
    for axis, length in (("y", x.shape[-2]), ("x", x.shape[-1])):
        side = SIDE[0] + (SIDE[1] - SIDE[0]) * draw.uniform(f"damage/side {axis}").cpu()[:, None]
        start = draw.uniform(f"damage/start {axis}").cpu()[:, None] * (1 - side)
        at = (torch.arange(length) + 0.5) / length
        masks.append((torch.minimum(at - start, start + side - at) / edge).clamp(0, 1))
    return (masks[0][:, None, :, None] * masks[1][:, None, None, :]).to(x.device)
