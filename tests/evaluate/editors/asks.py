"""Questions, and how far apart answers are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from uip2p.evaluate.asking import Ask

TEXT, OTHER = "make the car blue", "remove the red dog"


def picture(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    """Blocks of 8 × 8 of chance colours."""
    blocks = np.random.default_rng(seed).integers(0, 256, ((height + 7) // 8, (width + 7) // 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width])


def three_asks() -> list[Ask]:
    """Two of one size, one of another; all of their own instruction or seed."""
    return [
        Ask("1/a", picture(1), TEXT, 11), Ask("1/b", picture(2), OTHER, 12), Ask("2/c", picture(3, 40, 48), TEXT, 13),
    ]  # fmt: skip


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a channel, of 255."""
    assert one.size == other.size
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


def furthest(some: Sequence[Image.Image], others: Sequence[Image.Image]) -> int:
    return max(apart(one, other) for one, other in zip(some, others, strict=True))
