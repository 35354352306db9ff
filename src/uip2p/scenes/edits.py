"""Edits: what changes between two scenes, told by an instruction that determines the answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from uip2p.scenes.language import (
    MAX_WORDS,
    Wording,
    caption,
    draw_wording,
    place_noun,
    position,
    with_article,
    words_of,
)
from uip2p.scenes.phrases import phrase
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS

# kind -> how often it is drawn
WEIGHTS = {"color": 0.20, "add": 0.20, "remove": 0.20, "move": 0.12, "replace": 0.10,
           "place": 0.06, "time": 0.04, "style": 0.04, "tone": 0.04}
THING_KINDS = ("color", "add", "remove", "move", "replace")
TONE_KINDS = {"time": ("night",), "style": ("black and white", "sepia"), "tone": ("warm", "bright", "dark")}
COMPOSITION_KINDS = ("color", "add", "replace")  # those that make a new combination of kind and colour

# Combinations of kind and colour that only the `composition` split asks for: twelve kinds, and every colour.
HELD_OUT = frozenset({
    ("dog", "blue"), ("cat", "green"), ("car", "pink"), ("ball", "purple"), ("tree", "red"), ("house", "yellow"),
    ("bird", "orange"), ("boat", "black"), ("umbrella", "white"), ("flower", "blue"), ("bus", "green"),
    ("couch", "orange"),
})


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of the miniature world, in scenes and in words. kind: a key of WEIGHTS. wording: of both captions."""

    kind: str
    source: Scene
    target: Scene
    caption: str
    instruction: str
    edited_caption: str
    reverse_instruction: str
    wording: Wording


@dataclass(frozen=True, slots=True)
class Request:
    """What an instruction says, before it is phrased: a key of PHRASES and its fillers (see `fill`)."""

    what: str
    thing: Thing | None = None
    new: Thing | None = None
    color: str = ""
    slot: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """An edit before it is told: the new scene, both requests, and the kinds whose colour captions must tell."""

    target: Scene
    forward: Request
    reverse: Request
    told: tuple[str, ...] = ()


Pairs = frozenset[tuple[str, str]]  # combinations of kind and colour
ALL_PAIRS: Pairs = frozenset((kind, color) for kind in KINDS for color in COLORS)


def standing_y(kind: str) -> float:
    """Where a thing is put when nobody says: its lower edge."""
    return 0.47 if KINDS[kind].flies else 0.90


def back_to_front(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    return tuple(sorted(things, key=lambda thing: thing.y))


def empty_slots(scene: Scene) -> list[str]:
    return [slot for slot in SLOTS if slot not in {thing.slot for thing in scene.things}]


def _swap(scene: Scene, old: Thing, new: Thing | None) -> Scene:
    kept = tuple(thing for thing in scene.things if thing != old)
    return replace(scene, things=back_to_front((*kept, new)) if new else kept)


def _new_pair(rng: random.Random, scene: Scene, pairs: Pairs) -> tuple[str, str] | None:
    present = {thing.kind for thing in scene.things}
    free = sorted(pair for pair in pairs if pair[0] not in present)
    if not free:
        return None
    kind = rng.choice(sorted({kind for kind, _ in free}))  # kinds alike, however many colours each may have
    return kind, rng.choice([color for k, color in free if k == kind])


def _color(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
    options = [(thing, color) for thing in scene.things for color in COLORS
               if color != thing.color and (thing.kind, color) in pairs]
    if not options:
        return None
    thing, color = rng.choice(options)
    painted = replace(thing, color=color)
    # Not `_swap`: a thing keeps its place in the depth order, whatever its neighbours' y.
    things = tuple(painted if other == thing else other for other in scene.things)
    return Change(replace(scene, things=things), Request("color", thing, color=color),
                  Request("color", painted, color=thing.color), told=tuple(KINDS))


def _add(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
    slots, pair = empty_slots(scene), _new_pair(rng, scene, pairs)
    if not slots or not pair:
        return None
    kind, color = pair
    slot = rng.choice(slots)
    new = Thing(kind, color, slot, SLOTS[slot], standing_y(kind))
    target = replace(scene, things=back_to_front((*scene.things, new)))
    return Change(target, Request("add", new=new, slot=slot), Request("remove", new), told=(kind,))


def _remove(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
    if not scene.things:
        return None
    thing = rng.choice(scene.things)
    return Change(_swap(scene, thing, None), Request("remove", thing),
                  Request("add", new=thing, slot=thing.slot), told=(thing.kind,))


def _move(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
    slots = empty_slots(scene)
    if not slots or not scene.things:
        return None
    thing, slot = rng.choice(scene.things), rng.choice(slots)
    moved = replace(thing, slot=slot, x=SLOTS[slot])
    things = tuple(moved if other == thing else other for other in scene.things)
    return Change(replace(scene, things=things), Request("move", thing, slot=slot),
                  Request("move", moved, slot=thing.slot))


def _replace(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
    pair = _new_pair(rng, scene, pairs)
    if not scene.things or not pair:
        return None
    kind, color = pair
    thing = rng.choice(scene.things)
    new = Thing(kind, color, thing.slot, thing.x, standing_y(kind))
    return Change(_swap(scene, thing, new), Request("replace", thing, new), Request("replace", new, thing),
                  told=(kind, thing.kind))


def _place(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
    place = rng.choice([place for place in PLACES if place != scene.place])
    target = replace(scene, place=place)
    return Change(target, Request("place", place=place), Request("place", place=scene.place))


def _tone(*tones: str) -> Callable[[random.Random, Scene, Pairs], Change | None]:
    def change(rng: random.Random, scene: Scene, pairs: Pairs) -> Change | None:
        tone = rng.choice(tones)
        if tone == "night" and scene.place == "night hill":
            return None
        return Change(replace(scene, tone=tone), Request(f"to {tone}"), Request(f"from {tone}"))

    return change


CHANGES: dict[str, Callable[[random.Random, Scene, Pairs], Change | None]] = {
    "color": _color, "add": _add, "remove": _remove, "move": _move, "replace": _replace, "place": _place,
    **{kind: _tone(*tones) for kind, tones in TONE_KINDS.items()},
}


def fill(rng: random.Random, request: Request, held_out: bool = False) -> str:
    """Put a request in words. A thing that is seen is named with or without its colour, a new one with it."""
    values = {}
    if request.thing:
        color, kind = request.thing.color, request.thing.kind
        values["thing"] = f"{color} {kind}" if rng.random() < 0.4 else kind
    if request.new:
        values["new"] = with_article(f"{request.new.color} {request.new.kind}")
    if request.color:
        values |= {"color": request.color, "a_color": with_article(request.color)}
    if request.slot:
        values |= {"slot": request.slot, "where": position(request.slot)}
    if request.place:
        values |= {"place": place_noun(request.place), "inside": PLACES[request.place]}
    return phrase(rng, request.what, held_out, **values)


def draw_edit(rng: random.Random, kind: str, source: Scene, *, pairs: Pairs = ALL_PAIRS,
              held_out_phrasings: bool = False) -> Edit | None:
    """Draw an edit of one kind from an ordinary (plain) scene, or None if the scene has no room for it.

    pairs: the combinations of kind and colour that the edit may make.
    """
    change = CHANGES[kind](rng, source, pairs)
    if change is None:
        return None
    before, after, wording = _captions(rng, kind, source, change)
    return Edit(kind, source, change.target, caption=before, edited_caption=after,
                instruction=fill(rng, change.forward, held_out_phrasings),
                reverse_instruction=fill(rng, change.reverse, held_out_phrasings), wording=wording)


def _captions(rng: random.Random, kind: str, source: Scene, change: Change) -> tuple[str, str, Wording]:
    """Both captions in one wording, which tells whatever the edit changes."""
    target = change.target
    empty = not source.things or not target.things
    while True:
        wording = draw_wording(
            rng,
            order=tuple(KINDS) if kind == "move" else tuple(SLOTS),  # a moved thing must not change its turn
            told=change.told,
            positions={"move": 1.0, "add": 0.7}.get(kind, 0.5),
            place=1.0 if kind == "place" or empty else 0.75,
            colors=0.6 if kind == "style" else 0.9,
            tones=(target.tone,) if kind in TONE_KINDS else (),
        )
        before, after = caption(source, wording), caption(target, wording)
        if max(len(words_of(before)), len(words_of(after))) <= MAX_WORDS:
            return before, after, wording
