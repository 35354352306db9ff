"""Tones: looks that can be given to any picture exactly, so that every such edit has one right answer."""

from __future__ import annotations

import numpy as np

from uip2p.errors import UserError

# tone -> what red, green and blue become: thousandths of (red, green, blue), and an offset in levels.
_MATRICES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "plain": ((1000, 0, 0, 0), (0, 1000, 0, 0), (0, 0, 1000, 0)),
    "night": ((240, 40, 20, 0), (40, 260, 40, 4), (40, 90, 340, 22)),  # dark, a little grey, towards blue
    "black and white": ((299, 587, 114, 0),) * 3,  # Rec. 601 luma
    "sepia": ((393, 769, 189, 0), (349, 686, 168, 0), (272, 534, 131, 0)),  # the customary matrix
    "warm": ((1140, 60, 0, 8), (0, 940, 0, 4), (0, 0, 600, 0)),
    "bright": ((850, 0, 0, 54), (0, 850, 0, 54), (0, 0, 850, 54)),
    "dark": ((500, 0, 0, 0), (0, 500, 0, 0), (0, 0, 500, 0)),
}


def apply_tone(picture: np.ndarray, tone: str) -> np.ndarray:
    """picture: uint8 [H, W, 3], any size; returns a new uint8 [H, W, 3]. Each pixel depends on itself alone.

    Integer arithmetic, rounded half up, so the answer is the same on every machine. Raises UserError for an
    unknown tone.
    """
    if tone not in _MATRICES:
        raise UserError(f"no tone {tone!r}; there are: {', '.join(_MATRICES)}")
    if tone == "plain":
        return picture.copy()
    matrix = np.array(_MATRICES[tone], dtype=np.int32)
    toned = picture.astype(np.int32) @ matrix[:, :3].T + (matrix[:, 3] * 1000 + 500)
    return np.clip(toned // 1000, 0, 255).astype(np.uint8)
