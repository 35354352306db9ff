"""Captions: a scene in plain English, in many wordings.

A `Wording` holds every choice that is not in the scene, so that two scenes told in one wording differ in their
captions by what differs between the scenes, and by nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection
from dataclasses import dataclass

from uip2p.scenes.phrases import PHRASES
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS

MAX_WORDS = 24

# Fillers: {things} all of them, {first} and {rest} the same in two parts, {inside} "on a street", {place} "a street"
POSITION_FIRST = "{inside}, {things}"  # the one frame that says "on the left a red car", not "a car on the left"
FRAMES = ("{things} {inside}", "{place} with {things}", "{first} {inside} {rest}",
          POSITION_FIRST, "there is {things} {inside}", "{inside} there is {things}")
FRAMES_WITH_POSITIONS = ("{things}, {inside}", "{place} with {things}",
                         POSITION_FIRST, "{inside} there is {things}")
FRAMES_WITHOUT_PLACE = ("{things}", "there is {things}")
JOINTS = ("and", "next to", "with", "beside")
PICTURES = ("picture", "image", "photo")

# How a tone is told before or after the rest. Telling that a picture is ordinary is a choice of its own.
TONE_BEFORE = {"plain": "{a_picture} of", "night": "a night {picture} of",
               "black and white": "a black and white {picture} of", "sepia": "a sepia {picture} of",
               "warm": "a warm {picture} of", "bright": "a very bright {picture} of",
               "dark": "a dark {picture} of"}
TONE_AFTER = {"plain": "", "night": "at night", "black and white": "in black and white", "sepia": "in sepia",
              "warm": "in warm light", "bright": "in very bright light", "dark": "in dim light"}
PLAIN_AFTER = {"night": ("in daylight", "by day"), "black and white": ("in colour",), "sepia": ("in colour",),
               "warm": ("in normal light",), "bright": ("in normal light",), "dark": ("in normal light",)}


@dataclass(frozen=True, slots=True)
class Wording:
    """How a caption is told.

    frame: one of the frames above. order: of slots, or of kinds, in which things are named.
    colorless: kinds whose colour is left out. positions: whether slots are told.
    joint: the words after the first thing. article: "a" or "one".
    picture: the noun of "a picture of …", or "" to tell the tone at the end.
    plain: what an ordinary picture's tone is called, or "".
    """

    frame: str
    order: tuple[str, ...]
    colorless: frozenset[str] = frozenset()
    positions: bool = False
    joint: str = "and"
    article: str = "a"
    picture: str = ""
    plain: str = ""


def with_article(words: str, article: str = "a") -> str:
    """"red car" -> "a red car", "orange car" -> "an orange car"."""
    return f"an {words}" if article == "a" and words[0] in "aeiou" else f"{article} {words}"


def position(slot: str) -> str:
    return "in the middle" if slot == "middle" else f"on the {slot}"


def place_noun(place: str) -> str:
    """The place without its preposition: "on a street" -> "a street"."""
    return PLACES[place].split(" ", 1)[1]


def draw_wording(rng: random.Random, *, order: Collection[str] = tuple(SLOTS), told: Collection[str] = (),
                 positions: float = 0.5, place: float = 0.75, colors: float = 0.9,
                 tones: Collection[str] = ()) -> Wording:
    """Draw a wording.

    order: slots or kinds, to be shuffled. told: kinds whose colour is always told. positions, place, colors: the
    chance of telling each. tones: the special tones of the pictures it is for, none if all are ordinary.
    """
    order = tuple(rng.sample(tuple(order), len(order)))
    colorless = frozenset(kind for kind in KINDS if rng.random() >= colors and kind not in told)
    told_positions, told_place = rng.random() < positions, rng.random() < place
    before = rng.random() < (0.5 if tones else 0.15)
    frames: tuple[str, ...] = FRAMES_WITHOUT_PLACE
    if told_place:
        frames = FRAMES_WITH_POSITIONS if told_positions else FRAMES
    if before:  # "a picture of" goes only with a noun
        frames = tuple(frame for frame in frames if frame[:8] in ("{things}", "{first} ", "{place} "))
    frame = rng.choice(frames)
    joints = tuple(joint for joint in JOINTS if not told_positions or joint in ("and", "with"))
    if frame == POSITION_FIRST or "with" in frame:
        joints = tuple(joint for joint in joints if joint != "with")
    if "{rest}" in frame:
        joints = joints[1:]
    plain = tuple(words for tone in tones for words in PLAIN_AFTER.get(tone, ()))
    return Wording(
        frame, order, colorless, told_positions, joint=rng.choice(joints),
        article="one" if rng.random() < 0.1 else "a", picture=rng.choice(PICTURES) if before else "",
        plain=rng.choice(plain) if plain and rng.random() < 0.3 else "")


def caption(scene: Scene, wording: Wording) -> str:
    """The scene in words. The wording must tell the place of a scene without things."""

    def name(thing: Thing) -> str:
        words = thing.kind if thing.kind in wording.colorless else f"{thing.color} {thing.kind}"
        words = with_article(words, wording.article)
        if not wording.positions:
            return words
        if wording.frame == POSITION_FIRST:
            return f"{position(thing.slot)} {words}"
        return f"{words} {position(thing.slot)}"

    def turn(thing: Thing) -> int:
        return wording.order.index(thing.slot if wording.order[0] in SLOTS else thing.kind)

    things = sorted(scene.things, key=turn)
    names = [name(thing) for thing in things] or ["nothing"]
    first, others = names[0], " and ".join(names[1:])
    rest = f"{wording.joint} {others}" if others else ""
    everything = f"{first} {rest}"
    if wording.joint == "and":
        everything = ", ".join([*names[:-2], " and ".join(names[-2:])])
    text = wording.frame.format(things=everything, first=first, rest=rest,
                                inside=PLACES[scene.place], place=place_noun(scene.place))
    if wording.picture:
        noun = wording.picture
        before = TONE_BEFORE[scene.tone].format(picture=noun, a_picture=with_article(noun))
        if scene.tone == "plain" and wording.plain:
            text = f"{text}, {wording.plain}"
        text = f"{before} {text}"
    else:
        after = TONE_AFTER[scene.tone] or wording.plain
        text = f"{text}, {after}" if after else text
    return re.sub(r" +", " ", text).strip().replace(" ,", ",")


def draw_photo_wording(rng: random.Random, tone: str) -> Wording:
    """A wording for a photograph of which only the tone is told: its picture, plain and joint are used."""
    plain = PLAIN_AFTER.get(tone, ("",)) if rng.random() < 0.3 else ("",)
    picture = rng.choice((*PICTURES, "photo", "photo"))
    return Wording("", (), joint=rng.choice(("before", "after")), picture=picture, plain=rng.choice(plain))


def photo_caption(tone: str, wording: Wording) -> str:
    """"a photo", "a night photo", "a photo at night"."""
    noun = with_article(wording.picture)
    if tone == "plain":
        return f"{noun} {wording.plain}".strip()
    if wording.joint == "after":
        return f"{noun} {TONE_AFTER[tone]}"
    return TONE_BEFORE[tone].format(picture=wording.picture).removesuffix(" of")


def words_of(text: str) -> list[str]:
    return text.replace(",", " ").split()


def vocabulary() -> list[str]:
    """Every word that a caption or an instruction can hold, of any split and either direction, sorted."""
    texts = [*FRAMES, *FRAMES_WITH_POSITIONS, *FRAMES_WITHOUT_PLACE, *JOINTS, *PICTURES, *KINDS, *COLORS,
             *SLOTS, *PLACES.values(), *TONE_BEFORE.values(), *TONE_AFTER.values(), "a an one nothing"]
    for several in (*PLAIN_AFTER.values(), *PHRASES.values()):
        texts += several
    texts += map(position, SLOTS)
    return sorted({word for text in texts for word in words_of(re.sub(r"\{\w+\}", " ", text))})
