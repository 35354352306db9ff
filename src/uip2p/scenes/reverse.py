"""The reverse of an instruction, worked out from words: what is asked, what was there before, how to ask for it back.

"make the car blue" of "a red car on a street" is undone by "make the car red". What neither the instruction nor a
caption tells (which colour was the car?) is a `Question`, and whoever sees the picture may guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from uip2p.errors import UserError
from uip2p.scenes.language import TONE_AFTER, TONE_BEFORE, place_noun, position, with_article
from uip2p.scenes.phrases import PHRASES, phrasings
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS, TONES


@dataclass(frozen=True, slots=True)
class Named:
    """A thing as words name it; "" for what they leave out."""

    kind: str
    color: str = ""
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an instruction asks for, as `edits.Request`, but only what its words say.

    what: a key of PHRASES. thing: one that is seen. new: one that is to come. color, slot, place: what is to become.
    """

    what: str
    thing: Named | None = None
    new: Named | None = None
    color: str = ""
    slot: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a picture: its things, its place and its tone, "" where unknown."""

    things: tuple[Named, ...] = ()
    place: str = ""
    tone: str = ""

    def find(self, kind: str) -> Named:
        """What is known of a thing of this kind, be it only that there is one."""
        return next((thing for thing in self.things if thing.kind == kind), Named(kind))

    def swap(self, kind: str, new: Named | None) -> Seen:
        """With the thing of this kind gone, and `new`, if any, in its place (last if there was none)."""
        added = (new,) if new else ()
        kinds = [thing.kind for thing in self.things]
        at = kinds.index(kind) if kind in kinds else len(kinds)
        return replace(self, things=(*self.things[:at], *added, *self.things[at + 1 :]))


@dataclass(frozen=True, slots=True)
class Question:
    """What words left out. about: "colour of the car". options: answer -> what would then be seen."""

    about: str
    options: dict[str, Seen]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to undo an instruction. before, after: what is known of the picture and of its edit.

    guessed: what a Question was about -> its answer, empty if words told everything.
    """

    instruction: str
    reverse_instruction: str
    before: Seen
    after: Seen
    guessed: dict[str, str] = field(default_factory=dict)


# ---- reading -------------------------------------------------------------------------------------


def _either(words: object) -> str:
    return "|".join(sorted(words, key=len, reverse=True))  # type: ignore[call-overload]


_KIND, _COLOR, _SLOT = (f"({_either(words)})" for words in (KINDS, COLORS, SLOTS))
_WHERE = "(?:in the|on the) " + _SLOT
_FIELDS = {  # a phrasing's fields -> the names of what they hold, and how they are spelt
    "thing": ("thing_color thing_kind", f"(?:{_COLOR} )?{_KIND}"),
    "new": ("new_color new_kind", f"(?:an?|one) (?:{_COLOR} )?{_KIND}"),
    "color": ("color", _COLOR), "a_color": ("color", f"an? {_COLOR}"),
    "slot": ("slot", _SLOT), "where": ("slot", _WHERE),
    "place": ("place", f"({_either(place_noun(place) for place in PLACES)})"),
    "inside": ("place", f"({_either(PLACES.values())})"),
}  # fmt: skip
_PLACE_OF = {words: place for place in PLACES for words in (PLACES[place], place_noun(place))}


@cache
def _patterns() -> list[tuple[str, re.Pattern[str], tuple[str, ...]]]:
    """(what, pattern, names of its groups) of every phrasing of every split."""
    patterns = []
    for what, templates in PHRASES.items():
        # People do not always say where: "add a red car" is as clear about what has to go again.
        short = [template.replace("{where}", "") for template in templates if what == "add"]
        for template in (*templates, *short):
            words = _plain(template)
            names = [name for key in re.findall(r"{(\w+)}", words) for name in _FIELDS[key][0].split()]
            pattern = re.sub(r"{(\w+)}", lambda match: _FIELDS[match[1]][1], words)
            patterns.append((what, re.compile(pattern), tuple(names)))
    return patterns


def _plain(text: str) -> str:
    """Lower case, no punctuation, single spaces."""
    return " ".join(re.sub(r"[^\w{}]", " ", text.lower()).split())


@lru_cache(maxsize=4096)
def readings(instruction: str) -> tuple[Asked, ...]:
    """Everything that an instruction may mean, () for one that is none of the world's phrasings.

    More than one: only of tones. "make it darker" asks for a dark picture, or for a bright one to become ordinary.
    """
    text, found = _plain(instruction), dict[Asked, None]()
    for what, pattern, names in _patterns():
        if match := pattern.fullmatch(text):
            value = dict(zip(names, (group or "" for group in match.groups()), strict=True))
            named = {
                role: Named(value[f"{role}_kind"], value[f"{role}_color"])
                for role in ("thing", "new")
                if f"{role}_kind" in value
            }
            found[
                Asked(what, **named, color=value.get("color", ""), slot=value.get("slot", ""),
                      place=_PLACE_OF.get(value.get("place", ""), ""))
            ] = None  # fmt: skip
    return tuple(found)


_NAME = f"(?:(?:an?|one|the) )?(?:{_COLOR} )?{_KIND}"
_THING = re.compile(rf"\b(?:{_WHERE} )?{_NAME}\b(?: {_WHERE}\b)?")
_PLACE = re.compile(rf"\b({_either(place_noun(place).split(' ', 1)[1] for place in PLACES)})\b")
_PLACE_OF_NOUN = {place_noun(place).split(" ", 1)[1]: place for place in PLACES}


def read_caption(text: str) -> Seen:
    """What a caption tells of a picture. Things and places it does not know are passed over; no special tone: plain."""
    text = " ".join(re.sub(r"[^\w,]", " ", text.lower()).split())
    things = tuple(
        Named(kind, color or "", before or after or "") for before, color, kind, after in _THING.findall(text)
    )
    place = _PLACE.search(text)
    return Seen(things, _PLACE_OF_NOUN[place[1]] if place else "", _read_tone(text))


def _read_tone(text: str) -> str:
    for tone in TONES[1:]:
        before = TONE_BEFORE[tone].format(picture="(?:picture|image|photo)").removesuffix(" of")
        if re.search(rf"\b(?:{before}|{TONE_AFTER[tone]})\b", text):
            return tone
    return "plain"


# ---- telling -------------------------------------------------------------------------------------


def tell(seen: Seen) -> str:
    """A caption of all that is known: "a red car on the left and a dog, on a street, at night"."""
    names = []
    for thing in seen.things:
        name = with_article(f"{thing.color} {thing.kind}".strip())
        names.append(f"{name} {position(thing.slot)}" if thing.slot else name)
    things = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "nothing"
    joint = ", " if any(thing.slot for thing in seen.things) else " "
    text = f"{things}{joint}{PLACES[seen.place]}" if seen.place else things
    after = TONE_AFTER.get(seen.tone, "")
    return f"{text}, {after}" if after else text


def phrase_of(asked: Asked) -> str:
    """A request in the first of its phrasings."""

    def name(thing: Named | None) -> str:
        return f"{thing.color} {thing.kind}".strip() if thing else ""

    where, new = (position(asked.slot) if asked.slot else ""), name(asked.new)
    return phrasings(asked.what)[0].format(
        thing=name(asked.thing), new=with_article(new) if new else "", color=asked.color, slot=asked.slot, where=where,
        place=place_noun(asked.place) if asked.place else "",
    ).strip()  # fmt: skip


# ---- reversing -----------------------------------------------------------------------------------

# What has to be known of a thing before the reverse of a request can be put in words
NEEDS = {"color": ("color",), "remove": ("color", "slot"), "move": ("slot",), "replace": ("color",)}
_VALUES = {"color": tuple(COLORS), "slot": tuple(SLOTS)}
_SPELT = {"color": "colour", "slot": "position"}


def reverse_of(instruction: str, caption: str | None = None, ask: Callable[[Question], str] | None = None) -> Plan:
    """Work out the reverse of an instruction of the miniature world, readable from the edited picture alone.

    caption: of the picture before the edit. ask: answers what instruction and caption leave open with one of the
    question's options. UserError: an instruction of no known phrasing, or something open and nobody to ask.
    """
    asked_for = readings(instruction)
    if not asked_for:
        raise UserError(
            f"'{instruction}': no phrasing of the miniature world, so its reverse cannot be worked out. "
            "Give the instruction that undoes it with --reverse (`reverse=` in Python), such as 'make the car red'."
        )
    seen, guessed = read_caption(caption) if caption else Seen(), dict[str, str]()

    def find_out(question: Question) -> str:
        if ask is None:
            raise UserError(f"'{instruction}': its reverse depends on the {question.about}. Give a caption that says.")
        guessed[question.about] = ask(question)
        return guessed[question.about]

    asked, seen = _settle_tone(asked_for, seen, find_out)
    # Even where it does not have to be asked for back, a place is easily guessed, and gives the rest a context.
    if not seen.place and (asked.what == "place" or (ask and not caption)):
        seen = replace(seen, place=find_out(Question("place", {name: replace(seen, place=name) for name in PLACES})))
    if asked.thing:
        seen = _complete(asked, seen, find_out)
    return Plan(instruction, phrase_of(_reversed(asked, seen)), seen, apply(asked, seen), guessed)


def _settle_tone(asked_for: tuple[Asked, ...], seen: Seen, find_out: Callable[[Question], str]) -> tuple[Asked, Seen]:
    """The one reading that fits the picture, and the tone that it starts from."""
    leaving = {asked.what.removeprefix("from "): asked for asked in asked_for if asked.what.startswith("from ")}
    if seen.tone in leaving:
        return leaving[seen.tone], seen
    for asked in asked_for:  # of a picture that nobody called special, the ordinary meaning
        if not asked.what.startswith("from "):
            return asked, replace(seen, tone=seen.tone or "plain") if asked.what.startswith("to ") else seen
    options = {tone: replace(seen, tone=tone) for tone in leaving}
    tone = next(iter(options)) if len(options) == 1 else find_out(Question("tone", options))
    return leaving[tone], options[tone]


def _complete(asked: Asked, seen: Seen, find_out: Callable[[Question], str]) -> Seen:
    """`seen` with all that has to be known of the thing the instruction is about."""
    assert asked.thing
    kind = asked.thing.kind
    thing = seen.find(kind)
    thing = replace(thing, color=asked.thing.color or thing.color)
    for attribute in NEEDS[asked.what]:
        if not getattr(thing, attribute):
            options = {value: seen.swap(kind, replace(thing, **{attribute: value})) for value in _VALUES[attribute]}
            answer = find_out(Question(f"{_SPELT[attribute]} of the {kind}", options))
            thing = replace(thing, **{attribute: answer})
    return seen.swap(kind, thing)


def _reversed(asked: Asked, seen: Seen) -> Asked:
    """The request that brings `seen` back. A thing is named with its colour where the instruction told it."""
    what, thing, new = asked.what, asked.thing, asked.new
    if what.startswith(("to ", "from ")):
        there, tone = what.split(" ", 1)
        return Asked(f"{'from' if there == 'to' else 'to'} {tone}")
    if what == "place":
        return Asked("place", place=seen.place)
    if what == "add":
        return Asked("remove", new)
    assert thing
    was = seen.find(thing.kind)
    if what == "color":
        return Asked("color", replace(thing, color=asked.color if thing.color else ""), color=was.color)
    if what == "remove":
        return Asked("add", new=Named(was.kind, was.color), slot=was.slot)
    if what == "move":
        return Asked("move", thing, slot=was.slot)
    return Asked("replace", new, Named(was.kind, was.color))


def apply(asked: Asked, seen: Seen) -> Seen:
    """What is known of the picture once the request is done."""
    what, thing, new = asked.what, asked.thing, asked.new
    if what.startswith("to "):
        return replace(seen, tone=what.removeprefix("to "))
    if what.startswith("from "):
        return replace(seen, tone="plain")
    if what == "place":
        return replace(seen, place=asked.place)
    if new:
        kind = thing.kind if thing else new.kind
        return seen.swap(kind, replace(new, slot=seen.find(kind).slot if thing else asked.slot))
    assert thing
    was = seen.find(thing.kind)
    become = {"color": replace(was, color=asked.color), "move": replace(was, slot=asked.slot), "remove": None}
    return seen.swap(thing.kind, become[what])
