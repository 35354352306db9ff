"""What an editor is tested on: cases with an exact answer, from drawn scenes and from photographs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count as integers
from pathlib import Path

import numpy as np

from uip2p.errors import UserError
from uip2p.evaluate.alternatives import Alternatives, photo_alternatives, scene_alternatives, session_alternatives
from uip2p.scenes.answers import Answer, answer, photo_answer
from uip2p.scenes.edits import COMPOSITION_KINDS, WEIGHTS, Edit
from uip2p.scenes.photos import Photos
from uip2p.scenes.vocabulary import TONES
from uip2p.scenes.world import World


@dataclass(frozen=True)
class Case:
    """One question to an editor.

    name: unique in its suite. turns: "single-turn" or "three-turn". instructions: one a turn, each for the
    editor's own last output. draw: () -> the pictures, made when they are needed. alternatives: of the drawn
    answer, what the edit could have come to; None if that is not known."""

    name: str
    turns: str
    kind: str
    instructions: tuple[str, ...]
    caption: str
    edited_caption: str
    draw: Callable[[], Answer]
    edit: Edit | None = None
    alternatives: Callable[[Answer], Alternatives] | None = None

    def digest(self, drawn: Answer) -> str:
        """Changes when anything that is asked or expected changes, so that no stale result is ever reused."""
        asked = json.dumps([self.name, self.instructions, self.caption, self.edited_caption])
        hashed = hashlib.sha256(asked.encode())
        for array in (drawn.source, drawn.target, drawn.mask):
            hashed.update(np.ascontiguousarray(array).tobytes())
        return hashed.hexdigest()[:16]


def scene_cases(world: World, count: int) -> Iterator[Case]:
    """Single edits of drawn scenes: every kind the split has, in turn, so that all are equally many."""
    kinds = COMPOSITION_KINDS if world.split == "composition" else tuple(WEIGHTS)
    for i in range(count):
        kind, index = kinds[i % len(kinds)], i // len(kinds)
        edit = world.edit(index, kind)
        yield Case(
            f"{kind}-{index}", "single-turn", kind, (edit.instruction,), edit.caption, edit.edited_caption,
            partial(answer, edit, world.size), edit, partial(scene_alternatives, edit),
        )


def session_answer(edits: tuple[Edit, ...], size: int) -> Answer:
    """First source, last target, and every pixel that some turn had to change."""
    answers = [answer(edit, size) for edit in edits]
    return Answer(answers[0].source, answers[-1].target, np.logical_or.reduce([a.mask for a in answers]))


def session_cases(world: World, count: int) -> Iterator[Case]:
    """Three edits in a row of one scene, each of the editor's own last output, judged at the end."""
    for i in range(count):
        edits = world.session(i)
        yield Case(
            f"session-{i}", "three-turn", "session", tuple(edit.instruction for edit in edits),
            edits[0].caption, edits[-1].edited_caption, partial(session_answer, edits, world.size),
            alternatives=partial(session_alternatives, edits),
        )


def photo_cases(photos: Photos, count: int) -> Iterator[Case]:
    """Tones on photographs: the first edits, as many of each tone as of any other. Here the tone is the kind."""
    tones = TONES[1:]
    wanted = {tone: count // len(tones) + (i < count % len(tones)) for i, tone in enumerate(tones)}
    for i in integers():
        if not any(wanted.values()):
            return
        edit = photos.edit(i)
        if wanted[edit.tone]:
            wanted[edit.tone] -= 1
            yield Case(
                f"photo-{i}", "single-turn", edit.tone, (edit.instruction,), edit.caption, edit.edited_caption,
                partial(photo_answer, photos, i), alternatives=partial(photo_alternatives, edit),
            )


def suite_cases(
    suite: str, split: str, seed: int, count: int, session_count: int, size: int, folders: Sequence[str | Path] = ()
) -> list[Case]:
    """The cases of a suite, "scenes" or "photos"; the first of a larger count are those of a smaller one.

    seed: of the world. count: single edits, session_count: sessions (of scenes alone). size: side in pixels. folders:
    photographs beside scikit-image's. UserError: no such suite or split, no such folder."""
    if suite == "photos":
        return list(photo_cases(Photos(folders, split, seed, size), count))
    if suite == "scenes":
        world = World(seed, split, size)
        return [*scene_cases(world, count), *session_cases(world, session_count)]
    raise UserError(f"there is no suite {suite!r}: choose scenes or photos")
