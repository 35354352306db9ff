"""Edits: each changes what its instruction says and nothing else, and tells so in its captions."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from uip2p.scenes.edits import (
    ALL_PAIRS,
    HELD_OUT,
    THING_KINDS,
    TONE_KINDS,
    WEIGHTS,
    back_to_front,
    draw_edit,
    empty_slots,
    standing_y,
)
from uip2p.scenes.language import words_of
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS, KINDS, SLOTS
from uip2p.scenes.world import World

WORLD = World(21)
N = 120


def edits(kind):
    return [WORLD.edit(i, kind) for i in range(N)]


def lost_and_new(edit):
    source, target = edit.source.things, edit.target.things
    return [t for t in source if t not in target], [t for t in target if t not in source]


@pytest.mark.parametrize("kind", THING_KINDS)
def test_edits_of_things_leave_the_rest_of_the_scene_alone(kind):
    for edit in edits(kind):
        assert replace(edit.target, things=()) == replace(edit.source, things=())
        kept = [t for t in edit.source.things if t in edit.target.things]
        assert [t for t in edit.target.things if t in kept] == kept, "the depth order of what stays"
        assert edit.target.things == back_to_front(edit.target.things)
        assert len({t.slot for t in edit.target.things}) == len(edit.target.things)
        assert len({t.kind for t in edit.target.things}) == len(edit.target.things) <= 3


def test_color():
    for edit in edits("color"):
        (lost,), (new,) = lost_and_new(edit)
        assert new == replace(lost, color=new.color) and new.color != lost.color
        assert edit.source.things.index(lost) == edit.target.things.index(new)
        assert lost.kind in words_of(edit.instruction) and new.color in words_of(edit.instruction)
        assert lost.color in words_of(edit.reverse_instruction)
        for scene, caption in ((edit.source, edit.caption), (edit.target, edit.edited_caption)):
            assert all(f"{t.color} {t.kind}" in caption for t in scene.things)


def test_add_is_canonical_and_named_in_full():
    for edit in edits("add"):
        lost, (new,) = lost_and_new(edit)
        assert not lost and len(edit.source.things) <= 2 and new.slot in empty_slots(edit.source)
        assert new == Thing(new.kind, new.color, new.slot, SLOTS[new.slot], standing_y(new.kind), 1.0, False)
        assert f"{new.color} {new.kind}" in edit.instruction and new.slot in words_of(edit.instruction)
        assert new.kind in words_of(edit.reverse_instruction)
        assert f"{new.color} {new.kind}" in edit.edited_caption and new.kind not in words_of(edit.caption)


def test_remove_and_its_reverse_names_color_and_slot():
    for edit in edits("remove"):
        (lost,), new = lost_and_new(edit)
        assert not new and lost.kind in words_of(edit.instruction)
        assert f"{lost.color} {lost.kind}" in edit.reverse_instruction
        assert lost.slot in words_of(edit.reverse_instruction)
        assert f"{lost.color} {lost.kind}" in edit.caption and lost.kind not in words_of(edit.edited_caption)


def test_move_to_the_centre_of_an_empty_slot():
    for edit in edits("move"):
        (lost,), (new,) = lost_and_new(edit)
        assert new == replace(lost, slot=new.slot, x=SLOTS[new.slot]) and new.slot in empty_slots(edit.source)
        assert new.slot in words_of(edit.instruction) and lost.slot in words_of(edit.reverse_instruction)
        assert all(t.slot in words_of(edit.caption) for t in edit.source.things)
        before, after = words_of(edit.caption), words_of(edit.edited_caption)
        assert [w for w in before if w in KINDS] == [w for w in after if w in KINDS], "things keep their turn"


def test_replace_keeps_the_place_and_is_canonical():
    for edit in edits("replace"):
        (lost,), (new,) = lost_and_new(edit)
        assert new == Thing(new.kind, new.color, lost.slot, lost.x, standing_y(new.kind), 1.0, False)
        assert new.kind not in {t.kind for t in edit.source.things}
        assert f"{new.color} {new.kind}" in edit.instruction and lost.kind in words_of(edit.instruction)
        assert f"{lost.color} {lost.kind}" in edit.reverse_instruction


def test_place_and_tones_change_one_field():
    for edit in edits("place"):
        assert edit.target == replace(edit.source, place=edit.target.place) != edit.source
    for kind, tones in TONE_KINDS.items():
        for edit in edits(kind):
            assert edit.source.tone == "plain" and edit.target == replace(edit.source, tone=edit.target.tone)
            assert edit.target.tone in tones
            assert kind != "time" or edit.source.place != "night hill"


@pytest.mark.parametrize("kind", WEIGHTS)
def test_captions_differ_only_by_the_edit(kind):
    for edit in edits(kind):
        before, after = words_of(edit.caption), words_of(edit.edited_caption)
        assert before != after
        changed = set(before) ^ set(after)
        if kind == "color":
            assert len(before) == len(after) and changed <= {*COLORS, "a", "an"}
        if kind == "move":
            assert changed <= {*SLOTS, "on", "in", "the"}
        assert edit.instruction != edit.reverse_instruction


def test_an_edit_without_room_is_none():
    things = tuple(Thing(kind, "red", slot, x, 0.9) for kind, (slot, x) in zip(("dog", "cat", "bus"), SLOTS.items(),
                                                                               strict=True))
    full, empty = Scene("lake", things), Scene("night hill", ())
    rng = random.Random(0)
    assert draw_edit(rng, "add", full) is None and draw_edit(rng, "move", full) is None
    assert all(draw_edit(rng, kind, empty) is None for kind in ("color", "remove", "move", "replace", "time"))
    assert draw_edit(rng, "add", empty) is not None and draw_edit(rng, "remove", full) is not None


def test_only_pairs_that_are_allowed_are_made():
    only = frozenset({("snowman", "purple")})
    edit = draw_edit(random.Random(1), "add", Scene("snow", ()), pairs=only)
    assert (edit.target.things[0].kind, edit.target.things[0].color) == ("snowman", "purple")
    dog = Scene("snow", (Thing("dog", "red", "left", 0.2, 0.9),))
    assert draw_edit(random.Random(1), "color", dog, pairs=only) is None


def test_held_out_pairs_touch_every_color_and_no_kind_twice():
    assert HELD_OUT < ALL_PAIRS and len(HELD_OUT) == 12
    assert {color for _, color in HELD_OUT} == set(COLORS)
    assert len({kind for kind, _ in HELD_OUT}) == 12
