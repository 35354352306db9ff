"""Pictures to begin with, and what can be asked of them: scenes drawn at the start, and one photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image
from skimage.data import astronaut

from uip2p.editing.instructions import check_instruction
from uip2p.errors import UserError
from uip2p.scenes.render import render
from uip2p.scenes.world import World

if TYPE_CHECKING:
    from uip2p.models.parts import Parts

# Scenes of the test split, which no training saw: kind and index of what is drawn, and what the shipped model does with
# it. What it cannot do, such as to add or to move a thing, is not among them.
SEED = 20261126
SCENES = (
    ("color", 29, "make the bus red"), ("place", 22, "move the scene to the snow"), ("time", 37, "make it night"),
    ("color", 20, "make the tree green"), ("remove", 6, "remove the kite"), ("style", 4, "make it black and white"),
    ("place", 15, "move the scene to a meadow"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """alt: what the picture shows, for who does not see it."""

    picture: Image.Image
    instruction: str
    alt: str


def examples(parts: Parts) -> list[Example]:
    """Those that this model can read: all of them, unless its vocabulary is closed and lacks a word."""
    world, found = World(SEED, "test"), []
    for kind, index, instruction in SCENES:
        edit = world.edit(index, kind)
        found.append(Example(Image.fromarray(render(edit.source)), instruction, f"drawing: {edit.caption}"))
    photo = Image.fromarray(astronaut())
    found.append(Example(photo, "make it black and white", "photograph: an astronaut before a flag"))
    return [example for example in found if _can_read(parts, example.instruction)]


def _can_read(parts: Parts, instruction: str) -> bool:
    try:
        return bool(check_instruction(instruction, parts))
    except UserError:
        return False
