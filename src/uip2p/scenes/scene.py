"""Scenes as values: what is where. Everything else (pictures, captions, edits) is a pure function of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing. x, y: the middle of its lower edge, as fractions of the frame from the upper left corner.
    size: 1 is its kind's own height. flip: mirrored."""

    kind: str
    color: str
    slot: str
    x: float
    y: float
    size: float = 1.0
    flip: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture before it is drawn.

    things: back to front. light: -1 (dim) to 1 (bright). texture: which of the place's random textures, any int.
    flip: the backdrop is mirrored. tone: one of TONES, applied to the finished picture.
    """

    place: str
    things: tuple[Thing, ...]
    light: float = 0.0
    texture: int = 0
    flip: bool = False
    tone: str = "plain"
