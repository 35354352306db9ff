"""Cross-attention maps, read while the UNet runs: one map a layer, without keeping the heads or slowing the output."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor


def token_weights(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """How much each position looks at each token: query [B, heads, N, d], key [B, heads, T, d] → [B, N, T] in [0, 1].

    A = softmax(q kᵀ · scale) over tokens, mean over heads: each position's weights sum to 1. In fp32, as differences
    between positions are small.
    """
    return torch.softmax((query.float() @ key.float().transpose(-1, -2)) * scale, dim=-1).mean(dim=1)


def content_map(query: Tensor, key: Tensor, content: Tensor, scale: float) -> Tensor:
    """Where the content tokens are looked at: one map, whatever their number.

    query [B, heads, N, d], key [B, heads, T, d], content bool [B, T] (no start, end or padding token) → [B, N].
    `token_weights`, sum over content tokens, then divided so that the map's mean is 1. Text without content gives a
    flat map.
    """
    attended = (token_weights(query, key, scale) * content[:, None, :]).sum(dim=-1) + 1e-6
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

    def reduce(self, query: Tensor, key: Tensor, scale: float) -> Tensor:
        """What is kept of a layer."""
        return content_map(query, key, self.content, scale)

    @property
    def maps(self) -> list[Tensor]:
        """One map [B, N] a cross-attention layer, in the order in which the UNet runs them."""
        return list(self.by_layer.values())


class TokenTap(Tap):
    """As `Tap`, in every layer, for every token by itself: `token_weights` [B, N, T] of a batch's first B entries,
    which `content` [B, T] are the texts of."""

    def __init__(self, content: Tensor):
        super().__init__(content, max_side=2**15)

    def reduce(self, query: Tensor, key: Tensor, scale: float) -> Tensor:
        rows = len(self.content)
        return token_weights(query[:rows], key[:rows], scale)


def on_one_grid(weights: list[Tensor], latent: tuple[int, int]) -> Tensor:
    """The layers' mean: [B, N_i, T] each → [B, T, h, w], the grid of the finest of them.

    latent: height and width of the latents, whose proportions every layer has. Coarser layers are interpolated
    (bilinear), so that a position's weights still sum to 1.
    """
    grids = [layer_grid(layer.shape[1], latent) for layer in weights]
    finest, total = max(grids), torch.zeros((), device=weights[0].device)
    for grid in sorted(set(grids)):
        same = torch.stack([layer for layer, its in zip(weights, grids, strict=True) if its == grid]).sum(dim=0)
        same = same.transpose(1, 2).unflatten(-1, grid)
        total = total + F.interpolate(same, finest, mode="bilinear", align_corners=False)
    return total / len(weights)


def layer_grid(positions: int, latent: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a layer of so many positions: the latents', halved some times."""
    shrink = round(math.sqrt(latent[0] * latent[1] / positions))
    grid = latent[0] // shrink, latent[1] // shrink
    if grid[0] * grid[1] != positions:
        raise ValueError(f"{positions} positions are no {latent[0]}×{latent[1]} latents, halved some times")
    return grid


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
        tap.by_layer.setdefault(self.layer, tap.reduce(query, key, attn.scale))
        out = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))


def tappable(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """In place: its attention takes a `Tap` (`cross_attention_kwargs={"tap": …}`). Without one nothing changes."""
    unet.set_attn_processor({name: TapProcessor(name) for name in unet.attn_processors})
    return unet


def is_tappable(unet: object) -> bool:
    """Whether a `Tap` given to this UNet would be read in all of its cross-attention."""
    processors = unet.attn_processors if isinstance(unet, UNet2DConditionModel) else {}
    return bool(processors) and all(isinstance(processor, TapProcessor) for processor in processors.values())


def content_mask(input_ids: Tensor, special_ids: tuple[int, ...]) -> Tensor:
    """input_ids [B, T] → bool [B, T]: neither start, end nor padding. `special_ids` are those tokens' ids."""
    mask = torch.ones_like(input_ids, dtype=torch.bool)
    for token in special_ids:
        mask &= input_ids != token
    return mask
