"""Reverse instructions: exactly what each edit's own reverse asks for, from its words alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from uip2p.errors import UserError
from uip2p.scenes.edits import Edit, Request
from uip2p.scenes.language import vocabulary, words_of
from uip2p.scenes.phrases import PHRASES
from uip2p.scenes.reverse import Asked, Named, Question, Seen, apply, read_caption, readings, reverse_of, tell
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS, TONES
from uip2p.scenes.world import SPLITS, World

EDITS = 400  # of each split


@cache
def edits() -> list[Edit]:
    return [World(7, split).edit(index) for split in SPLITS for index in range(EDITS)]


def truth(edit: Edit):
    """Someone who sees the picture, and notes down what was asked."""
    asked = []

    def ask(question: Question) -> str:
        asked.append(question.about)
        if question.about == "place":
            return edit.source.place
        attribute, kind = question.about.split(" of the ")
        thing = next(thing for thing in edit.source.things if thing.kind == kind)
        return thing.color if attribute == "colour" else thing.slot

    return ask, asked


def unnamed(asked: Asked) -> Asked:
    """Without the colour a seen thing is named with: "the red car" and "the car" are the same car."""
    return replace(asked, thing=replace(asked.thing, color="") if asked.thing else None)


@pytest.mark.parametrize("told", [True, False])
def test_the_reverse_asks_for_exactly_what_the_edits_own_reverse_asks_for(told):
    kinds = Counter()
    for edit in edits():
        plan = reverse_of(edit.instruction, edit.caption if told else None, truth(edit)[0])
        ours, own = (set(map(unnamed, readings(text))) for text in (plan.reverse_instruction, edit.reverse_instruction))
        if edit.kind in ("time", "style", "tone"):  # may be read in two ways, of which the picture decides
            assert ours & own, (edit.instruction, plan.reverse_instruction, edit.reverse_instruction)
            assert plan.after.tone == edit.target.tone != "plain"
            assert reverse_of(plan.reverse_instruction, edit.edited_caption).after.tone == "plain"
        else:
            assert ours == own and len(own) == 1, (edit.instruction, plan.reverse_instruction, edit.reverse_instruction)
        kinds[edit.kind] += 1
    assert set(kinds) == set(World(0).kinds) and min(kinds.values()) >= 30


def test_only_what_no_words_tell_is_asked():
    """By kind, the questions that come up with a caption, and those that come up without one."""
    with_caption, without = Counter(), Counter()
    for edit in edits():
        for told, counter in ((edit.caption, with_caption), (None, without)):
            ask, asked = truth(edit)
            plan = reverse_of(edit.instruction, told, ask)
            assert list(plan.guessed) == asked
            counter.update((edit.kind, about.split(" of ")[0]) for about in asked)
    assert set(with_caption) == {("remove", "position")}  # captions tell what the edit changes, but not always where
    assert {about for kind, about in without if kind in ("time", "style", "tone")} == {"place"}  # a context
    assert {about for kind, about in without if kind == "remove"} == {"place", "colour", "position"}
    assert {about for kind, about in without if kind == "add"} == {"place"}


def test_a_caption_is_read_as_the_scene_it_tells():
    for split in SPLITS:
        world = World(3, split)
        for index in range(EDITS):
            scene, text = world.captioned_scene(index)
            seen = read_caption(text)
            assert {thing.kind for thing in seen.things} == {thing.kind for thing in scene.things}, text
            for thing in scene.things:
                found = seen.find(thing.kind)
                assert found.color in ("", thing.color) and found.slot in ("", thing.slot), text
                assert bool(found.color) == (f"{thing.color} {thing.kind}" in text)
            assert bool(found_slots := [t.slot for t in seen.things if t.slot]) == any(
                where in text for where in ("on the left", "on the right", "in the middle")
            ), (text, found_slots)
            assert seen.place in ("", scene.place) and seen.tone == scene.tone, text


def test_before_and_after_are_the_scenes_of_the_edit():
    for edit in edits():
        plan = reverse_of(edit.instruction, edit.caption, truth(edit)[0])
        for seen, scene in ((plan.before, edit.source), (plan.after, edit.target)):
            assert {thing.kind for thing in seen.things} == {thing.kind for thing in scene.things}
            for thing in scene.things:
                found = seen.find(thing.kind)
                assert found.color in ("", thing.color) and found.slot in ("", thing.slot), (edit.instruction, found)
            assert seen.place in ("", scene.place) and seen.tone == scene.tone
        assert plan.before != plan.after and read_caption(tell(plan.after)) == plan.after


def test_every_phrasing_is_read_as_what_it_asks():
    """All of PHRASES, with every filler, and never as something else: only tones have two readings."""
    car = Named("car", "red")
    values = {"thing": "red car", "new": "an orange dog", "color": "blue", "a_color": "a blue", "slot": "left",
              "where": "on the left", "place": "a street", "inside": "on a street"}  # fmt: skip
    for what, templates in PHRASES.items():
        for template in templates:
            found = readings(template.format(**values))
            assert what in {asked.what for asked in found}
            if " " not in what:
                (asked,) = found
                assert asked.thing in (None, car) and asked.new in (None, Named("dog", "orange")), template
                assert (asked.color, asked.slot, asked.place) == (
                    "blue" if "color}" in template else "",
                    "left" if "slot}" in template or "where}" in template else "",
                    "street" if "place}" in template or "inside}" in template else "",
                ), template  # fmt: skip
            else:
                assert all(" " in asked.what for asked in found)
    for kind in KINDS:
        for color in COLORS:
            assert readings(f"make the {kind} {color}") == (Asked("color", Named(kind), color=color),)
    assert all(readings(f"change the place to {PLACES[place].split(' ', 1)[1]}")[0].place == place for place in PLACES)
    assert all(readings(f"move the dog to the {slot}")[0].slot == slot for slot in SLOTS)


@pytest.mark.parametrize(("instruction", "told", "expected"), [
    ("make the car blue", "a red car on a street", "make the car red"),
    ("Make the GREEN car blue!", "a car on a street", "make the blue car green"),
    ("add a red car", None, "remove the red car"),  # where is not always said
    ("add a dog on the left", None, "remove the dog"),
    ("remove the dog", "a white dog on the left and a car on the right", "add a white dog on the left"),
    ("turn the dog into a cat", "on the left a black dog, in the middle a red car", "replace the cat with a black dog"),
    ("move the dog to the right", "in the snow, in the middle a dog", "move the dog to the middle"),
    ("put it on a beach", "a house by a lake, in sepia", "change the place to a lake"),
    ("make it darker", "a dog in very bright light", "brighten it"),
    ("make it darker", "a dog", "make it less dark"),
    ("make it darker", None, "make it less dark"),
    ("make it a colour picture", "a sepia photo of a dog", "make the colours sepia"),
    ("make it a colour picture", "a black and white photo of a dog", "remove the colours"),
    ("make it day", None, "make it night"),
])  # fmt: skip
def test_examples(instruction, told, expected):
    plan = reverse_of(instruction, told)
    assert plan.reverse_instruction == expected and plan.guessed == {}


def test_a_reverse_of_the_reverse_is_the_instruction():
    for tone in TONES[1:]:
        for way in (f"to {tone}", f"from {tone}"):
            there = PHRASES[way][0]
            seen = "a dog" if way.startswith("to") else f"{tell(Seen((Named('dog'),), tone=tone))}"
            plan = reverse_of(there, seen)
            back = reverse_of(plan.reverse_instruction, tell(plan.after))
            assert back.after == plan.before, (there, plan, back)


def test_what_is_asked_names_what_would_be_seen():
    questions = []

    def ask(question: Question) -> str:
        questions.append(question)
        return list(question.options)[-1]

    plan = reverse_of("remove the dog", "a dog and a red car on a street", ask)
    color, slot = questions
    assert (color.about, slot.about) == ("colour of the dog", "position of the dog")
    assert tell(color.options["green"]) == "a green dog and a red car on a street"
    assert list(slot.options) == list(SLOTS) and tell(slot.options["left"]).startswith("a black dog on the left and")
    assert plan.reverse_instruction == "add a black dog on the right"
    assert plan.guessed == {"colour of the dog": "black", "position of the dog": "right"}
    assert tell(plan.after) == "a red car on a street"
    questions.clear()
    reverse_of("give it colour", None, ask)
    assert [list(question.options) for question in questions] == [["black and white", "sepia"], list(PLACES)]


@pytest.mark.parametrize("instruction", ["", "make the unicorn blue", "make the car", "put a hat on the dog",
                                         "make the car blue and the dog red", "make the car mauve"])  # fmt: skip
def test_other_instructions_ask_for_the_reverse(instruction):
    assert readings(instruction) == ()
    with pytest.raises(UserError, match=r"no phrasing of the miniature world.* with --reverse"):
        reverse_of(instruction, "a red car")


def test_nobody_to_ask():
    with pytest.raises(UserError, match=r"depends on the colour of the car. Give a caption that says"):
        reverse_of("make the car blue")


def test_what_is_told_is_made_of_words_that_the_encoder_was_taught():
    words = set(vocabulary())
    for edit in edits():
        plan = reverse_of(edit.instruction, edit.caption, truth(edit)[0])
        assert {*words_of(tell(plan.before)), *words_of(tell(plan.after)), *words_of(plan.reverse_instruction)} <= words


def test_requests_and_readings_are_the_same_thing():
    """`Asked` holds the fields of `edits.Request`: the two must not drift apart."""
    assert {field for field in Asked.__slots__} == {field for field in Request.__slots__}
    assert apply(readings("add a red car on the left")[0], Seen()) == Seen((Named("car", "red", "left"),))
