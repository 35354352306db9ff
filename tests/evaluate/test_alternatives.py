"""What an edit could have come to: the asked answer first, every rival different from it, told in the same words."""

from dataclasses import replace

import numpy as np
import pytest

from uip2p.evaluate.alternatives import (
    apply_edit,
    changed,
    edit_scenes,
    photo_alternatives,
    plain_alternatives,
    scene_alternatives,
    session_alternatives,
    session_scenes,
)
from uip2p.evaluate.cases import session_answer
from uip2p.scenes.answers import answer, photo_answer
from uip2p.scenes.edits import WEIGHTS
from uip2p.scenes.photos import Photos
from uip2p.scenes.render import render
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS, PLACES, SLOTS, TONES
from uip2p.scenes.world import World

SIZE = 32
WORLD = World(4, "test", SIZE)
RED_CAR = Thing("car", "red", "left", 0.2, 0.9)
BLUE_DOG = Thing("dog", "blue", "right", 0.8, 0.85)


def edit_between(kind, before, after):
    """A world's edit with these scenes: only its scenes and kind matter here."""
    return replace(WORLD.edit(0, kind), source=before, target=after)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_asked_answer_is_first_the_source_second_and_none_comes_twice(kind):
    for i in range(20):
        edit = WORLD.edit(i, kind)
        scenes = edit_scenes(edit)
        assert scenes[:2] == (edit.target, edit.source) and len(set(scenes)) == len(scenes)
        assert scenes == edit_scenes(edit)
        found = scene_alternatives(edit, answer(edit, SIZE))
        assert np.array_equal(found.pictures[0], render(edit.target, SIZE))
        assert found.captions[:2] == (edit.edited_caption, edit.caption)
        assert len(found.captions) == len(found.pictures) <= len(scenes)
        assert (found.pictures[1:] != found.pictures[0]).any((1, 2, 3)).all()


def test_each_kind_has_the_rivals_that_it_could_be_mistaken_for():
    scenes = {kind: edit_scenes(WORLD.edit(3, kind)) for kind in WEIGHTS}
    assert len(scenes["color"]) == len(COLORS)
    assert len(scenes["place"]) == len(PLACES) and {scene.place for scene in scenes["place"]} == set(PLACES)
    for kind in ("time", "style", "tone"):
        assert {scene.tone for scene in scenes[kind]} == set(TONES)
    edit = WORLD.edit(3, "add")
    (new,) = changed(edit)[1]
    shown = {(t.kind, t.color, t.slot) for scene in scenes["add"] for t in scene.things if t not in edit.source.things}
    free = {slot for slot in SLOTS if slot not in {thing.slot for thing in edit.source.things}}
    assert shown == {(new.kind, color, new.slot) for color in COLORS} | {(new.kind, new.color, slot) for slot in free}
    edit = WORLD.edit(3, "replace")
    (old,), (new,) = changed(edit)
    instead = [next((t for t in scene.things if t.slot == old.slot), None) for scene in scenes["replace"]]
    assert None in instead and old in instead  # the thing gone; nothing replaced
    assert {t.color for t in instead if t and t.kind == new.kind} == set(COLORS)
    assert len({t.kind for t in instead if t}) == 2 + 5


def test_a_move_is_held_against_the_thing_in_both_places_and_in_neither():
    before, after = Scene("beach", (RED_CAR,)), Scene("beach", (replace(RED_CAR, slot="right", x=0.8),))
    found = {frozenset(thing.slot for thing in s.things) for s in edit_scenes(edit_between("move", before, after))}
    assert found == {*map(frozenset, (["right"], ["left"], ["middle"], ["left", "right"], []))}


def test_a_removal_is_held_against_the_removal_of_another():
    before = Scene("beach", (RED_CAR, BLUE_DOG))
    scenes = edit_scenes(edit_between("remove", before, Scene("beach", (RED_CAR,))))
    assert [scene.things for scene in scenes] == [(RED_CAR,), (RED_CAR, BLUE_DOG), (BLUE_DOG,)]


def test_what_cannot_be_seen_is_no_rival():
    """A recoloured thing that stands behind a larger one from end to end looks the same in any colour."""
    tree = Thing("house", "red", "left", 0.2, 0.95, 2.0)
    hidden = Thing("ball", "red", "left", 0.2, 0.85, 0.3)
    edit = edit_between("color", Scene("snow", (hidden, tree)), Scene("snow", (replace(hidden, color="blue"), tree)))
    assert len(edit_scenes(edit)) == len(COLORS)
    assert len(scene_alternatives(edit, answer(edit, SIZE)).pictures) == 1


def test_captions_differ_by_what_the_scenes_differ_by():
    edit = next(e for e in (WORLD.edit(i, "color") for i in range(99)) if not e.wording.colorless)
    found = scene_alternatives(edit, answer(edit, SIZE))
    (new,) = changed(edit)[1]
    words = [set(text.split()) ^ set(edit.edited_caption.split()) for text in found.captions[1:]]
    assert all(difference & {*COLORS} and difference <= {*COLORS, "a", "an"} for difference in words), new


def test_photographs_in_every_tone():
    photos = Photos(None, "test", 0, SIZE)
    for i in range(6):
        edit, drawn = photos.edit(i), photo_answer(photos, i)
        found = photo_alternatives(edit, drawn)
        assert np.array_equal(found.pictures[0], drawn.target) and len(found.pictures) == len(TONES)
        assert any(np.array_equal(picture, drawn.source) for picture in found.pictures[1:])
        assert found.captions[0] == edit.edited_caption and edit.caption in found.captions[1:]


def test_a_case_of_which_nothing_more_is_known():
    drawn = answer(WORLD.edit(0), SIZE)
    found = plain_alternatives(drawn, "after", "before")
    assert found.captions == ("after", "before") and np.array_equal(found.pictures[1], drawn.source)


# Sessions


@pytest.mark.parametrize("split", ["test", "composition", "language"])
def test_every_edit_made_again_on_its_own_source_is_itself(split):
    world = World(4, split)
    for i in range(60):
        edit = world.edit(i)
        assert apply_edit(edit.source, edit) == edit.target
        edits = world.session(i)
        scenes = session_scenes(edits)
        assert scenes[:2] == (edits[-1].target, edits[0].source) and 3 <= len(scenes) <= 8
        assert {edits[0].target, edits[1].target} <= {*scenes}  # the first turns alone


def test_a_turn_left_out_of_a_session():
    start = Scene("beach", (RED_CAR,))
    with_dog = Scene("beach", (BLUE_DOG, RED_CAR))
    green_dog = replace(BLUE_DOG, color="green")
    with_green = Scene("beach", (green_dog, RED_CAR))
    at_night = replace(with_green, tone="night")
    edits = (edit_between("add", start, with_dog), edit_between("color", with_dog, with_green),
             edit_between("time", with_green, at_night))  # fmt: skip
    night = replace(start, tone="night")
    assert session_scenes(edits) == (
        at_night, start, with_green, replace(with_dog, tone="night"), with_dog, night
    )  # fmt: skip  # without the dog there is nothing to recolour


def test_what_a_later_turn_undoes_is_not_asked():
    start, blue = Scene("beach", (RED_CAR,)), Scene("beach", (replace(RED_CAR, color="blue"),))
    gone = Scene("beach", ())
    edits = (edit_between("color", start, blue), edit_between("remove", blue, gone))
    assert session_scenes(edits) == (gone, start, blue)


def test_a_replacement_stands_where_the_thing_it_finds_stands():
    start = Scene("beach", (RED_CAR,))
    moved = Scene("beach", (replace(RED_CAR, slot="right", x=0.8),))
    ball = Thing("ball", "pink", "right", 0.8, 0.9)
    edits = edit_between("move", start, moved), edit_between("replace", moved, Scene("beach", (ball,)))
    assert Scene("beach", (replace(ball, slot="left", x=0.2),)) in session_scenes(edits)


def test_sessions_are_told_in_the_last_turns_words():
    for i in range(10):
        edits = WORLD.session(i)
        found = session_alternatives(edits, session_answer(edits, SIZE))
        assert found.captions[0] == edits[-1].edited_caption
        assert any(text != found.captions[0] for text in found.captions[1:])
