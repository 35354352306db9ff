"""The names of the miniature world: what can be in it, in which colours, where, and in which light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing. height: fraction of the frame at size 1. flies: hangs in the sky instead of standing."""

    name: str
    height: float
    flies: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind("dog", 0.40), Kind("cat", 0.40), Kind("rabbit", 0.40), Kind("duck", 0.36), Kind("fish", 0.32),
        Kind("bird", 0.32, flies=True), Kind("butterfly", 0.32, flies=True), Kind("kite", 0.40, flies=True),
        Kind("balloon", 0.42, flies=True), Kind("car", 0.32), Kind("bus", 0.40), Kind("bicycle", 0.36),
        Kind("boat", 0.44), Kind("ball", 0.30), Kind("couch", 0.34), Kind("bench", 0.32), Kind("lamp", 0.48),
        Kind("tree", 0.54), Kind("flower", 0.42), Kind("house", 0.50), Kind("umbrella", 0.42),
        Kind("apple", 0.30), Kind("mushroom", 0.34), Kind("snowman", 0.46),
    )
}

# Far enough apart that a small encoder, and a person, can tell any two by name.
COLORS = {
    "red": (222, 45, 45),
    "orange": (247, 142, 30),
    "yellow": (250, 215, 50),
    "green": (58, 165, 70),
    "blue": (45, 100, 222),
    "purple": (140, 70, 180),
    "pink": (248, 140, 190),
    "white": (246, 246, 246),
    "black": (42, 42, 48),
}

# name -> the words that put a thing there
PLACES = {
    "living room": "in a living room",
    "street": "on a street",
    "meadow": "in a meadow",
    "beach": "on a beach",
    "snow": "in the snow",
    "desert": "in a desert",
    "lake": "by a lake",
    "night hill": "on a hill under the stars",
}

# name -> x of the slot's centre, as a fraction of the frame
SLOTS = {"left": 0.20, "middle": 0.50, "right": 0.80}

# A picture's overall look. "plain" is daylight in full colour; each other has an exact answer on any picture.
TONES = ("plain", "night", "black and white", "sepia", "warm", "bright", "dark")
