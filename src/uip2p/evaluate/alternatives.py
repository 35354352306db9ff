"""What an edit could have come to: the answers of its kind in this very scene, the asked one first.

Which scenes these are, and the same drawn and told. Which of them an output shows is for the oracle to say, and for
the judge.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import numpy as np

from uip2p.scenes.answers import Answer
from uip2p.scenes.edits import TONE_KINDS, Edit, back_to_front, empty_slots, standing_y
from uip2p.scenes.language import Wording, caption, photo_caption
from uip2p.scenes.photos import PhotoEdit
from uip2p.scenes.render import render
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS, TONES

OTHER_KINDS = 5  # how many other kinds a replacement is held against


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Answers that an edit could have come to: the asked one first, and no other that looks like it.

    pictures: uint8 [N, H, W, 3]. captions: N, in one wording, so that they differ by what the pictures differ by;
    two are the same where the wording leaves that out."""

    pictures: np.ndarray
    captions: tuple[str, ...]


def alternatives(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> Alternatives:
    """Leaves out what looks like the first, such as a thing that would stand unseen behind another."""
    kept = [i for i, picture in enumerate(pictures) if i == 0 or not np.array_equal(picture, pictures[0])]
    return Alternatives(np.stack([pictures[i] for i in kept]), tuple(captions[i] for i in kept))


def plain_alternatives(drawn: Answer, edited_caption: str, caption: str) -> Alternatives:
    """Done or not done: all there is where nothing more is known of an edit."""
    return alternatives((drawn.target, drawn.source), (edited_caption, caption))


def photo_alternatives(edit: PhotoEdit, drawn: Answer) -> Alternatives:
    """The photograph in every tone, the asked one first."""
    tones = tuple(dict.fromkeys((edit.tone, *TONES)))
    return alternatives(
        [apply_tone(drawn.source, tone) for tone in tones], [photo_caption(tone, edit.wording) for tone in tones]
    )


def scene_alternatives(edit: Edit, drawn: Answer) -> Alternatives:
    """`edit_scenes`, at the size of the exact answer `drawn`, told in the edit's own wording."""
    return _draw(edit_scenes(edit), edit.wording, drawn)


def session_alternatives(edits: Sequence[Edit], drawn: Answer) -> Alternatives:
    """`session_scenes`, at the size of the exact answer `drawn`, told in the last turn's wording."""
    return _draw(session_scenes(edits), edits[-1].wording, drawn)


def _draw(scenes: Sequence[Scene], wording: Wording, drawn: Answer) -> Alternatives:
    """The first two scenes are target and source, which are drawn already."""
    pictures = (drawn.target, drawn.source, *(render(scene, len(drawn.source)) for scene in scenes[2:]))
    return alternatives(pictures, [caption(scene, wording) for scene in scenes])


# One edit


def edit_scenes(edit: Edit) -> tuple[Scene, ...]:
    """The scenes that an edit could have come to, no two the same: edit.target first, edit.source second, then

    color    the thing in every colour of the palette
    add      the new thing in every colour; as asked, but in every other free slot
    remove   another thing gone instead
    move     the thing in every other free slot; in both places; in neither
    replace  the new thing in every colour; OTHER_KINDS other kinds in its place, drawn of the case; the old thing gone
    place    every place
    time, style, tone   every tone
    """
    return tuple(dict.fromkeys((edit.target, edit.source, *_OTHERS[edit.kind](edit))))


def changed(edit: Edit) -> tuple[tuple[Thing, ...], tuple[Thing, ...]]:
    """The things, one or none, that only the source has, and those that only the target has."""
    before, after = edit.source.things, edit.target.things
    return tuple(t for t in before if t not in after), tuple(t for t in after if t not in before)


def _swap(scene: Scene, old: Thing, *new: Thing) -> Scene:
    """`new`, any number, at the turn of `old` in the depth order."""
    return replace(scene, things=tuple(t for thing in scene.things for t in (new if thing == old else (thing,))))


def _in_every_color(edit: Edit) -> list[Scene]:
    return [_swap(edit.target, new, replace(new, color=color)) for new in changed(edit)[1] for color in COLORS]


def _in_every_slot(edit: Edit) -> list[Scene]:
    slots = empty_slots(edit.source)
    return [_swap(edit.target, new, replace(new, slot=s, x=SLOTS[s])) for new in changed(edit)[1] for s in slots]


def _without_old(edit: Edit) -> list[Scene]:
    return [_swap(edit.source, old) for old in changed(edit)[0]]


def _without_another(edit: Edit) -> list[Scene]:
    return [_swap(edit.source, thing) for thing in edit.source.things if thing in edit.target.things]


def _in_both_places(edit: Edit) -> list[Scene]:
    (old,), (new,) = changed(edit)
    return [_swap(edit.target, new, old, new)]


def _of_other_kinds(edit: Edit) -> list[Scene]:
    (new,) = changed(edit)[1]
    shown = {thing.kind for thing in (*edit.source.things, new)}
    rng = random.Random(f"uip2p/other kinds/{edit.source}/{edit.instruction}")
    kinds = rng.sample([kind for kind in KINDS if kind not in shown], OTHER_KINDS)
    scenes = [_swap(edit.target, new, replace(new, kind=kind, y=standing_y(kind))) for kind in kinds]
    return [replace(scene, things=back_to_front(scene.things)) for scene in scenes]


def _in_every_tone(edit: Edit) -> list[Scene]:
    return [replace(edit.source, tone=tone) for tone in TONES]


_OTHERS: dict[str, Callable[[Edit], list[Scene]]] = {
    "color": _in_every_color,
    "add": lambda edit: _in_every_color(edit) + _in_every_slot(edit),
    "remove": _without_another,
    "move": lambda edit: _in_every_slot(edit) + _in_both_places(edit) + _without_old(edit),
    "replace": lambda edit: _in_every_color(edit) + _of_other_kinds(edit) + _without_old(edit),
    "place": lambda edit: [replace(edit.source, place=place) for place in PLACES],
    **dict.fromkeys(TONE_KINDS, _in_every_tone),
}


# Several edits in a row


def session_scenes(edits: Sequence[Edit]) -> tuple[Scene, ...]:
    """Where a session ends if only some of its turns are made, for every subset: all of them first, none second.

    No two scenes are the same: a turn of which a later one leaves nothing makes no difference, made or not."""
    ends = []
    for made in product((True, False), repeat=len(edits)):
        turns = (edit for edit, is_made in zip(edits, made, strict=True) if is_made)
        ends.append(reduce(apply_edit, turns, edits[0].source))
    return tuple(dict.fromkeys((ends[0], ends[-1], *ends[1:-1])))


def apply_edit(scene: Scene, edit: Edit) -> Scene:
    """The edit made in a scene that may not be its own source, as a turn before was left out.

    It is made on the thing of the same kind; where there is none, the scene stays as it is."""
    gone, come = changed(edit)
    found = [thing for thing in scene.things if thing.kind in {old.kind for old in gone}][: len(gone)]
    if len(found) < len(gone):
        return scene
    if edit.kind == "color":
        return _swap(scene, found[0], replace(found[0], color=come[0].color))
    if edit.kind == "move":
        return _swap(scene, found[0], replace(found[0], slot=come[0].slot, x=come[0].x))
    if gone or come:
        placed = [replace(new, slot=at.slot, x=at.x) for new, at in zip(come, found or come, strict=False)]
        kept = [thing for thing in scene.things if thing not in found]
        return replace(scene, things=back_to_front((*kept, *placed)))
    return replace(scene, place=edit.target.place, tone=edit.target.tone)
