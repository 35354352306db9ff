"""The miniature world as data: scene, captioned picture, edit and session number i of a seed, always the same.

Every draw is a pure function of (split, seed, i), so no two splits share one and nothing has to be stored.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from uip2p.errors import UserError
from uip2p.records import EditRecord
from uip2p.scenes.edits import (
    ALL_PAIRS,
    COMPOSITION_KINDS,
    HELD_OUT,
    THING_KINDS,
    TONE_KINDS,
    WEIGHTS,
    Edit,
    back_to_front,
    draw_edit,
)
from uip2p.scenes.language import MAX_WORDS, caption, draw_wording, words_of
from uip2p.scenes.render import render
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS, TONES

SPLITS = ("train", "validation", "test", "composition", "language")


def draw_thing(rng: random.Random, kind: str, slot: str) -> Thing:
    """A thing of any colour that is not held out, somewhere in its slot."""
    color = rng.choice([color for color in COLORS if (kind, color) not in HELD_OUT])
    y = rng.uniform(0.44, 0.50) if KINDS[kind].flies else rng.uniform(0.80, 0.95)
    return Thing(kind, color, slot, SLOTS[slot] + rng.uniform(-0.03, 0.03), y, rng.uniform(0.92, 1.08),
                 rng.random() < 0.5)


def draw_scene(rng: random.Random, empty: float = 0.0) -> Scene:
    """An ordinary scene of one to three things, or of none with chance `empty`."""
    place = rng.choice(list(PLACES))
    count = 0 if rng.random() < empty else rng.choices((1, 2, 3), (0.30, 0.45, 0.25))[0]
    kinds, slots = rng.sample(list(KINDS), count), rng.sample(list(SLOTS), count)
    things = tuple(draw_thing(rng, kind, slot) for kind, slot in zip(kinds, slots, strict=True))
    return Scene(place, back_to_front(things), light=rng.uniform(-1, 1), texture=rng.randrange(1_000_000),
                 flip=rng.random() < 0.5)


class World:
    """The scenes, captions and edits of one seed and split, drawn at `size` pixels.

    split: "train", "validation" and "test" are alike; "composition" asks for combinations of kind and colour that
    no other split shows, "language" in phrasings that no other split uses.
    """

    def __init__(self, seed: int, split: str = "train", size: int = 64):
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
        self.seed, self.split, self.size = seed, split, size

    def _rng(self, index: int, purpose: str) -> random.Random:
        return random.Random(f"uip2p/{self.split}/{self.seed}/{index}/{purpose}")

    def scene(self, index: int) -> Scene:
        """An ordinary scene."""
        return draw_scene(self._rng(index, "scene"))

    def captioned_scene(self, index: int) -> tuple[Scene, str]:
        """A scene in any tone, and its caption. One in 25 has nothing in it, so that "nothing" has meaning."""
        rng = self._rng(index, "captioned")
        scene = draw_scene(rng, empty=0.04)
        tone = "plain" if rng.random() < 0.7 else rng.choice(TONES[1:])
        if not (tone == "night" and scene.place == "night hill"):
            scene = replace(scene, tone=tone)
        colorful = scene.tone not in ("black and white", "sepia")
        while True:
            wording = draw_wording(rng, place=0.75 if scene.things else 1.0, colors=0.9 if colorful else 0.6,
                                   tones=() if scene.tone == "plain" else (scene.tone,))
            text = caption(scene, wording)
            if len(words_of(text)) <= MAX_WORDS:
                return scene, text

    def captioned(self, index: int) -> dict[str, Any]:
        """{"image": uint8 [size, size, 3], "caption": str}"""
        scene, text = self.captioned_scene(index)
        return {"image": render(scene, self.size), "caption": text}

    def _draw_edit(self, rng: random.Random, kind: str, source: Scene) -> Edit | None:
        pairs = HELD_OUT if self.split == "composition" else ALL_PAIRS - HELD_OUT
        return draw_edit(rng, kind, source, pairs=pairs, held_out_phrasings=self.split == "language")

    @property
    def kinds(self) -> dict[str, float]:
        """The kinds of edit that the split asks for, and how often."""
        return {kind: weight for kind, weight in WEIGHTS.items()
                if self.split != "composition" or kind in COMPOSITION_KINDS}

    def check_kind(self, kind: str) -> None:
        """Raises UserError for a kind of edit that the split does not ask for."""
        if kind not in self.kinds:
            raise UserError(f"split {self.split!r} has no edits of kind {kind!r}: choose of {', '.join(self.kinds)}")

    def edit(self, index: int, kind: str | None = None) -> Edit:
        """An edit of the given kind, or of one drawn by weight. An index has another scene for each kind."""
        if kind is None:
            kind = self._rng(index, "kind").choices(list(self.kinds), list(self.kinds.values()))[0]
        self.check_kind(kind)
        rng = self._rng(index, f"edit/{kind}")
        while True:  # until a scene has room for it
            edit = self._draw_edit(rng, kind, draw_scene(rng))
            if edit:
                return edit

    def record(self, index: int) -> EditRecord:
        """The edit as a cycle recipe sees it: the source picture and four texts. The target is never drawn."""
        edit = self.edit(index)
        return EditRecord(render(edit.source, self.size), edit.caption, edit.instruction,
                          edit.edited_caption, edit.reverse_instruction)

    def session(self, index: int, turns: int = 3) -> tuple[Edit, ...]:
        """Edits each of which starts from the scene before; no scene comes twice, and a tone only last."""
        rng = self._rng(index, f"session/{turns}")
        scenes, edits = [draw_scene(rng)], list[Edit]()
        while len(edits) < turns:
            last = len(edits) == turns - 1
            kinds = {kind: weight for kind, weight in self.kinds.items()
                     if kind in THING_KINDS or (last and kind in TONE_KINDS)}
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            edit = self._draw_edit(rng, kind, scenes[-1])
            if edit and edit.target not in scenes:
                scenes.append(edit.target)
                edits.append(edit)
        return tuple(edits)
