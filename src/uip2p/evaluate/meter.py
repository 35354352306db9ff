"""The figures of one output: metrics.py with the encoders and the preprocessing that a protocol asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True, slots=True)
class Judged:
    """One output beside what it is held against, all RGB. source: what the change is measured from. target: None where
    nobody knows the answer. mask: bool [H, W] of the target's size. caption, edited_caption: "" where there is none."""

    key: str
    output: Image.Image
    source: Image.Image
    target: Image.Image | None = None
    mask: np.ndarray | None = None
    caption: str = ""
    edited_caption: str = ""


class Meter(Protocol):
    def describe(self) -> dict[str, Any]:
        """Figure → what it was computed with: backbone and its fingerprint, resize, crop, range, caption source. Part
        of the result, and of the key of every row."""
        ...

    def measure(self, judged: Sequence[Judged]) -> list[dict[str, float]]:
        """The figures of each; one that is not defined for an output (no target, no mask, no caption) is left out.
        ValueError, naming the key, for pictures out of range. Batches change the speed, never a figure."""
        ...
