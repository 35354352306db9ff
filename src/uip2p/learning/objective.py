"""What the trainer asks of an objective, and what the objectives share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from uip2p.images import to_tensor
from uip2p.learning.randomness import Draw

Batch = list[dict[str, Any]]


@dataclass
class Outcome:
    """losses: named, already weighted, one value a sample [B]; their sum is what is minimised. logs: only watched."""

    losses: dict[str, Tensor]
    logs: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """What the trainer trains: an nn.Module whose trainable parameters are those with requires_grad.

    An optional `alarm(means: dict[str, float]) -> str | None` reads the logged means and may raise the alarm.
    """

    def __call__(self, batch: Batch, draw: Draw) -> Outcome: ...

    def samples(self, batch: Batch, draw: Draw) -> np.ndarray | None:
        """A picture of how training goes, uint8 [H, W, 3], or None."""

    def export(self, folder: Path) -> None:
        """Write the finished model into a folder."""


def pictures(batch: Batch, key: str = "image", device: torch.device | str = "cpu") -> Tensor:
    """The batch's pictures, float32 [B, 3, H, W] in [-1, 1]."""
    return to_tensor(np.stack([row[key] for row in batch]), device)


def texts(batch: Batch, key: str) -> list[str]:
    return [row[key] for row in batch]


def drop(values: Sequence[str], where: Tensor) -> list[str]:
    """Each text, or the null text where `where` (bool [B]) says so."""
    return ["" if gone else value for value, gone in zip(values, where.tolist(), strict=True)]


def conditioning_dropout(draw: Draw, rate: float, name: str = "dropout") -> tuple[Tensor, Tensor]:
    """InstructPix2Pix's rule, one uniform r a sample: text null if r < 2u, image null if u ≤ r < 3u; bool [B] each, on
    the CPU."""
    r = draw.host.uniform(name)
    return r < 2 * rate, (r >= rate) & (r < 3 * rate)
