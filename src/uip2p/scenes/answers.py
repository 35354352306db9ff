"""Exact answers: the only place where an edit's target is drawn. To measure with, and for the supervised baselines.

Nothing that the cycle recipes use may import this module, or `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uip2p.scenes.edits import Edit
from uip2p.scenes.render import render
from uip2p.scenes.tones import apply_tone

if TYPE_CHECKING:  # photographs need torch, which takes seconds to load, and scenes do not
    from uip2p.scenes.photos import Photos


@dataclass(frozen=True, slots=True)
class Answer:
    """source, target: uint8 [H, W, 3], before and after. mask: bool [H, W], true where any channel had to change."""

    source: np.ndarray
    target: np.ndarray
    mask: np.ndarray


def compare(source: np.ndarray, target: np.ndarray) -> Answer:
    return Answer(source, target, (source != target).any(axis=-1))


def answer(edit: Edit, size: int = 64) -> Answer:
    """The exact answer to an edit of a scene."""
    return compare(render(edit.source, size), render(edit.target, size))


def photo_answer(photos: Photos, index: int) -> Answer:
    """The exact answer to `photos.edit(index)`."""
    source = photos.picture(index)
    return compare(source, apply_tone(source, photos.edit(index).tone))
