"""Captions and phrasings: grammatical, short, of a closed vocabulary, and in pairs that differ only by the edit."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from uip2p.scenes.language import (
    MAX_WORDS,
    Wording,
    caption,
    draw_photo_wording,
    draw_wording,
    photo_caption,
    vocabulary,
    with_article,
    words_of,
)
from uip2p.scenes.phrases import PHRASES, phrasings
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import SLOTS, TONES
from uip2p.scenes.world import SPLITS, World

CAR, DOG = Thing("car", "red", "left", 0.2, 0.9), Thing("dog", "white", "right", 0.8, 0.9)
STREET = Scene("street", (CAR, DOG))
ORDER = ("left", "middle", "right")


@pytest.mark.parametrize(("wording", "expected"), [
    (Wording("{first} {inside} {rest}", ORDER, joint="next to"), "a red car on a street next to a white dog"),
    (Wording("{place} with {things}", ORDER, positions=True),
     "a street with a red car on the left and a white dog on the right"),
    (Wording("{inside}, {things}", ORDER[::-1], positions=True),
     "on a street, on the right a white dog and on the left a red car"),
    (Wording("there is {things}", ORDER, frozenset({"car"}), article="one"), "there is one car and one white dog"),
    (Wording("{things}", ("dog", "car"), joint="with", picture="image"), "an image of a white dog with a red car"),
    (Wording("{things}", ORDER, plain="in daylight"), "a red car and a white dog, in daylight"),
])
def test_a_wording_tells_a_scene(wording, expected):
    assert caption(STREET, wording) == expected


def test_three_things_and_no_things_and_tones():
    three = Scene("lake", (*STREET.things, Thing("apple", "orange", "middle", 0.5, 0.9)), tone="black and white")
    assert caption(three, Wording("{things} {inside}", ORDER)) == (
        "a red car, an orange apple and a white dog by a lake, in black and white")
    assert caption(three, Wording("{things}", ORDER, picture="photo")) == (
        "a black and white photo of a red car, an orange apple and a white dog")
    assert caption(Scene("snow", ()), Wording("there is {things} {inside}", ORDER)) == "there is nothing in the snow"


def test_articles():
    assert with_article("orange car") == "an orange car"
    assert with_article("umbrella") == "an umbrella"
    assert with_article("red apple") == "a red apple"
    for i in range(500):
        words = words_of(World(5).captioned_scene(i)[1]) + words_of(World(5).edit(i).instruction)
        for article, word in pairwise(words):
            assert not (article == "a" and word[0] in "aeiou") and not (article == "an" and word[0] not in "aeiou")


def test_captions_vary():
    wordings = {caption(STREET, draw_wording(random.Random(i))) for i in range(300)}
    assert len(wordings) > 120


def test_the_vocabulary_is_modest_sorted_and_closed():
    words = vocabulary()
    assert words == sorted(set(words)) and len(words) <= 250
    assert all(word.isalpha() and word == word.lower() for word in words)
    seen = set()
    for split in SPLITS:
        world = World(8, split)
        for i in range(1000):
            edit = world.edit(i)
            captions = edit.caption, edit.edited_caption, world.captioned_scene(i)[1]
            for text in (*captions, edit.instruction, edit.reverse_instruction):
                assert set(text) <= set("abcdefghijklmnopqrstuvwxyz ,") and "  " not in text and text.strip() == text
                seen.update(words_of(text))
            assert max(len(words_of(text)) for text in captions) <= MAX_WORDS
    for i in range(300):
        tone = TONES[i % len(TONES)]
        seen.update(words_of(photo_caption(tone, draw_photo_wording(random.Random(i), tone))))
    assert seen == set(words)


def test_phrasings_are_many_and_the_held_out_ones_apart():
    for what, everything in PHRASES.items():
        assert len(everything) == len(set(everything)) >= 10, what
        ordinary, held_out = phrasings(what), phrasings(what, held_out=True)
        assert ordinary + held_out == everything
        assert 0.15 <= len(held_out) / len(everything) <= 0.25, what


def test_held_out_phrasings_are_new_sentences_of_known_words():
    known = {word for what in PHRASES for text in phrasings(what) for word in words_of(text)}
    held_out = {word for what in PHRASES for text in phrasings(what, held_out=True) for word in words_of(text)}
    assert held_out <= known


def test_no_held_out_phrasing_is_used_by_another_request():
    ordinary = {text for what in PHRASES for text in phrasings(what)}
    held_out = {text for what in PHRASES for text in phrasings(what, held_out=True)}
    assert not ordinary & held_out


def test_instructions_never_refer_to_an_earlier_picture():
    words = {word for several in PHRASES.values() for text in several for word in words_of(text)}
    assert not words & {"back", "undo", "original", "again", "previous", "before", "earlier", "restore"}


def test_photo_captions():
    after, before = Wording("", (), joint="after", picture="photo"), Wording("", (), joint="before", picture="image")
    assert photo_caption("plain", after) == "a photo" and photo_caption("plain", before) == "an image"
    assert photo_caption("night", after) == "a photo at night"
    assert photo_caption("black and white", before) == "a black and white image"


def test_slots_are_the_order_that_captions_use():
    assert set(ORDER) == set(SLOTS)
