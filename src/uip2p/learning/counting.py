"""What one picture's step keeps and multiplies, counted on the device `meta`, where tensors have no contents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from uip2p.learning.randomness import Draw

ATTENTION = torch.ops.aten._scaled_dot_product_efficient_attention
BACKWARD = torch.ops.aten._scaled_dot_product_efficient_attention_backward


def count_step(objective: nn.Module, size: int) -> tuple[int, float]:
    """(bytes kept for backward, operations) of one picture's step."""
    text = dict.fromkeys(("caption", "instruction", "edited_caption", "reverse_instruction"), "a picture")
    row = {"image": np.zeros((size, size, 3), np.uint8), **text}
    parameters = {parameter.untyped_storage()._cdata for parameter in objective.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in parameters:
            kept[storage] = tensor
        return tensor

    with fused_attention(), FlopCounterMode(display=False, custom_mapping={BACKWARD: backward_flops}) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses = objective([row], Draw(0, 0, [0])).losses
        torch.stack([value.sum() for value in losses.values()]).sum().backward()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()), float(counter.get_total_flops())


@contextmanager
def fused_attention() -> Iterator[None]:
    """On the device meta attention falls back to the kernel that keeps the whole tokens × tokens matrix, several times
    what a real step at 768 px keeps. In here it is the fused one, as on a GPU and on a CPU. Its products in the
    backward pass are counted as two for each of the forward's; that it computes the forward's again is its own affair.

    The function is exchanged, as backward passes run in threads that no torch function mode reaches.
    """
    plain = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _attend  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = plain


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None,
            dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, **_: Any) -> torch.Tensor:
    graph = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    return ATTENTION(query, key, value, attn_mask, graph, dropout_p, is_causal, scale=scale)[0]


def backward_flops(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
    """Shapes to operations."""
    return 2 * sdpa_flop_count(query, key, value)
