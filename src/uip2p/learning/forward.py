"""From a batch to numbers: exact means over the global batch, however it is split over devices and parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from uip2p.learning.randomness import Draw


def forward(model: Any, items: list[dict], draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
    """The total loss of each sample [B], and the sum over the samples of every loss and log, by name."""
    outcome = model(items, draw)
    named = {**outcome.logs, **outcome.losses}
    for name, value in named.items():
        if value.shape != (len(items),):
            raise ValueError(f"{name!r} must have one number a sample, [{len(items)}], got {list(value.shape)}")
    total = torch.stack([value.float() for value in outcome.losses.values()]).sum(0)
    named["total"] = total
    return total, {name: value.detach().float().sum() for name, value in named.items()}


def add(sums: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: sums[name] + value if name in sums else value for name, value in more.items()}


def to_numbers(accelerator: Accelerator, sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Sums on this process -> sums over all of them, as numbers. The one place that waits for the device."""
    stacked = torch.stack([value.to(accelerator.device, torch.float32) for value in sums.values()])
    if accelerator.num_processes > 1:
        stacked = accelerator.reduce(stacked, "sum")  # type: ignore[assignment]
    return dict(zip(sums, stacked.tolist(), strict=True))


def split(count: int, pieces: int) -> list[slice]:
    """`count` rows in so many nearly equal pieces."""
    return [slice(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)]
