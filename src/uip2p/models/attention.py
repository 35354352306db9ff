"""Cross-attention maps, read while the UNet runs: one map a layer, without keeping the heads or slowing the output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor


def content_map(query: Tensor, key: Tensor, content: Tensor, scale: float) -> Tensor:
    """Where the content tokens are looked at: one map, whatever their number.

    query [B, heads, N, d], key [B, heads, T, d], content bool [B, T] (no start, end or padding token) → [B, N].
    A = softmax(q kᵀ · scale) over tokens, mean over heads, sum over content tokens, then divided so that the
    map's mean is 1. In fp32, as small differences are what the loss is about. Text without content gives a flat map.
    """
    weights = torch.softmax((query.float() @ key.float().transpose(-1, -2)) * scale, dim=-1).mean(dim=1)
    attended = (weights * content[:, None, :]).sum(dim=-1) + 1e-6
    return attended / attended.mean(dim=-1, keepdim=True)


class _Tap(AttnProcessor2_0):
    """The fast kernel for the output; the map on the side."""

    def __init__(self, content: Tensor, maps: list[Tensor], max_positions: int):
        super().__init__()
        self.content, self.maps, self.max_positions = content, maps, max_positions

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *args, **kwargs
    ) -> Tensor:
        if encoder_hidden_states is not None and hidden_states.shape[1] <= self.max_positions:
            query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            key = attn.to_k(encoder_hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            self.maps.append(content_map(query, key, self.content, attn.scale))
        return super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)


@contextmanager
def cross_attention_maps(unet: UNet2DConditionModel, content: Tensor, max_side: int = 16) -> Iterator[list[Tensor]]:
    """Within it, each forward appends one map [B, N] a cross-attention layer of at most max_side² positions.

    content: bool [B, T], the tokens that count. Layers come in the order in which the UNet runs them.
    """
    before = unet.attn_processors
    maps: list[Tensor] = []
    tap = _Tap(content, maps, max_side**2)
    unet.set_attn_processor({name: tap if ".attn2." in name else old for name, old in before.items()})
    try:
        yield maps
    finally:
        unet.set_attn_processor(before)


def content_mask(input_ids: Tensor, special_ids: tuple[int, ...]) -> Tensor:
    """input_ids [B, T] → bool [B, T]: neither start, end nor padding. `special_ids` are those tokens' ids."""
    mask = torch.ones_like(input_ids, dtype=torch.bool)
    for token in special_ids:
        mask &= input_ids != token
    return mask
