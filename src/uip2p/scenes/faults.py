"""Supervised triplets with the faults of Prompt-to-Prompt's edited pictures, each on a dial.

InstructPix2Pix learns from generated pairs in which more changes than was asked for. Here the same faults are made on
purpose and in known amounts, so that their effect on a supervised editor can be measured: at 0 supervision is exact.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uip2p.errors import UserError
from uip2p.scenes.answers import Answer, answer
from uip2p.scenes.edits import Edit
from uip2p.scenes.render import render
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS
from uip2p.scenes.world import World


@dataclass(frozen=True, slots=True)
class Faults:
    """Dials from 0 (never) to 1.

    attribute: the chance that another thing takes the edit's colour too, or the surroundings if there is no other.
    scene: the chance that the surroundings are redrawn: another texture, light and direction.
    global_: how far the whole picture shifts: in colour, in brightness, and by one or two of 64 pixels.
    """

    attribute: float = 0.0
    scene: float = 0.0
    global_: float = 0.0

    def __post_init__(self) -> None:
        for name in ("attribute", "scene", "global_"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"fault {name.strip('_')!r} must be from 0 to 1, not {getattr(self, name)}")


def faulty_answer(edit: Edit, faults: Faults, size: int, key: object) -> Answer:
    """The answer with faults in its target. The source and the mask (of what had to change) stay exact.

    key: what the faults are drawn from. A fault that a key has at one dial, it has at every higher one.
    """
    exact = answer(edit, size)
    scene, tint = edit.target, None
    rng = random.Random(f"uip2p/faults/{key}/attribute")
    if rng.random() < faults.attribute:
        scene, tint = _entangle_attribute(rng, edit)
    rng = random.Random(f"uip2p/faults/{key}/scene")
    if rng.random() < faults.scene:
        scene = replace(scene, texture=rng.randrange(1_000_000), light=rng.uniform(-1, 1), flip=not scene.flip)
    target = exact.target if scene == edit.target else render(scene, size)
    if tint:
        target = _tint_surroundings(target, scene, tint)
    if faults.global_ > 0:
        target = _shift(target, faults.global_, random.Random(f"uip2p/faults/{key}/global"))
    return Answer(exact.source, target, exact.mask)


def changed_thing(edit: Edit) -> Thing | None:
    """The thing of the target that an edit painted, added or put in another's place."""
    if edit.kind not in ("color", "add", "replace"):
        return None
    return next(thing for thing in edit.target.things if thing not in edit.source.things)


def _entangle_attribute(rng: random.Random, edit: Edit) -> tuple[Scene, str | None]:
    """The target with another thing in the edit's colour; or as it is, and the colour for its surroundings."""
    thing = changed_thing(edit)
    if thing is None:
        return edit.target, None
    others = [other for other in edit.target.things if other != thing and other.color != thing.color]
    if not others:
        return edit.target, thing.color
    victim = rng.choice(others)
    things = tuple(replace(other, color=thing.color) if other == victim else other for other in edit.target.things)
    return replace(edit.target, things=things), None


def _tint_surroundings(picture: np.ndarray, scene: Scene, color: str) -> np.ndarray:
    """A third of the way to a colour, wherever there is no thing."""
    empty = render(replace(scene, things=()), len(picture))
    surroundings = (picture == empty).all(axis=-1, keepdims=True)
    tinted = (picture.astype(np.int32) * 2 + np.array(COLORS[color])) // 3
    return np.where(surroundings, tinted, picture).astype(np.uint8)


def _shift(picture: np.ndarray, strength: float, rng: random.Random) -> np.ndarray:
    """Another white balance, brightness and position, each in proportion to strength. Edges repeat."""
    gain = np.array([1 + strength * rng.uniform(-0.2, 0.2) for _ in range(3)])
    brightness = strength * rng.uniform(-25, 25)
    height, width = picture.shape[:2]
    dy, dx = (round(strength * rng.choice((-2, -1, 1, 2)) * height / 64) for _ in range(2))
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    moved = picture[rows][:, columns]
    return np.clip(np.rint(moved * gain + brightness), 0, 255).astype(np.uint8)


class Triplets:
    """A world's edits as supervised triplets, endless: `triplets[index]` has the faults given at the start."""

    def __init__(self, world: World, faults: Faults | None = None):
        self.world, self.faults = world, faults or Faults()

    def triplet(self, index: int, faults: Faults) -> dict[str, Any]:
        """source and target (uint8 [size, size, 3]), instruction, caption, edited_caption and kind of edit `index`."""
        world, edit = self.world, self.world.edit(index)
        drawn = faulty_answer(edit, faults, world.size, f"{world.split}/{world.seed}/{index}")
        return {"source": drawn.source, "target": drawn.target, "instruction": edit.instruction,
                "caption": edit.caption, "edited_caption": edit.edited_caption, "kind": edit.kind}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.triplet(index, self.faults)
