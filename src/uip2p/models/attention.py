"""Cross-attention maps, read while the UNet runs: one map a layer, without keeping the heads or slowing the output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


class Tap:
    """Given to one forward of a UNet that `tappable` has prepared, it collects that forward's maps.

    content: bool [B, T], the tokens that count. max_side: layers of up to max_side² positions are read. It goes along
    as an argument, not as a state of the UNet: activation checkpointing runs a layer again, and must find it the same.
    No dataclass, for FSDP takes those apart on the way in: every block would fill a copy of its own.
    """

    def __init__(self, content: Tensor, max_side: int = 16):
        self.content, self.max_side = content, max_side
        self.by_layer: dict[str, Tensor] = {}

    @property
    def maps(self) -> list[Tensor]:
        """One map [B, N] a cross-attention layer, in the order in which the UNet runs them."""
        return list(self.by_layer.values())


class TapProcessor(AttnProcessor2_0):
    """The fast kernel for the output; with a tap, the map on the side."""

    def __init__(self, layer: str):
        super().__init__()
        self.layer = layer

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        tap: Tap | None = None,
    ) -> Tensor:
        if tap is None or encoder_hidden_states is None or hidden_states.shape[1] > tap.max_side**2:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        # A transformer block's cross-attention: no mask, no norm and no residual inside. Query and key serve both.
        projected = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        query, key, value = (tensor.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for tensor in projected)
        # setdefault: a second run of the layer, in backward, adds nothing.
        tap.by_layer.setdefault(self.layer, content_map(query, key, tap.content, attn.scale))
        out = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))


def tappable(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """In place: its attention takes a `Tap` (`cross_attention_kwargs={"tap": …}`). Without one nothing changes."""
    unet.set_attn_processor({name: TapProcessor(name) for name in unet.attn_processors})
    return unet


def content_mask(input_ids: Tensor, special_ids: tuple[int, ...]) -> Tensor:
    """input_ids [B, T] → bool [B, T]: neither start, end nor padding. `special_ids` are those tokens' ids."""
    mask = torch.ones_like(input_ids, dtype=torch.bool)
    for token in special_ids:
        mask &= input_ids != token
    return mask
