"""What an instruction asks for, and its wording both ways: the phrases that write it are the phrases that read it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from uip2p.instructions.grammar.parse import COLOR
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import NUMBERS, PREPOSITIONS, a, singular

_DEFINITE = (
    r"(?:(?:the|his|her|its|their|both|all|this|these|those|that) .+?(?<!'s)(?<!s')|[\w' -]+?(?:'s|s') .+?|"
    r"him|them)"
)
# What a slot's words look like.
HOLDS = {
    "thing": _DEFINITE, "owner": _DEFINITE, "medium": _DEFINITE, "from": _DEFINITE, "color": COLOR.pattern,
    "old": COLOR.pattern,
    "where": rf"(?:{'|'.join(sorted(PREPOSITIONS))}|to|onto) .+",
    "new": rf"(?:(?:an?|some|one|more|{'|'.join(NUMBERS)}) .+?|(?:[\w-]+ ){{0,4}}?(?:[\w-]+s|"
           rf"{'|'.join(sorted(words('things', 'mass')))}|deer|clothing))",
}  # fmt: skip
SLOTS = ("thing", "new", "owner", "color", "where", "place", "style", "medium")


@dataclass(frozen=True, slots=True)
class Asked:
    """action: "recolor", "remove", "add", "give", "replace", "move", "place", "weather", "time", "style" or "unstyle".

    value: of weather and time: "rain", and "rain_off" for its end; of unstyle: "off" or "color".
    manner: which of an action's own phrases fit: "worn", "held", "paint", "dye", "at"; "": only the common ones.
    The other fields are the slots of the phrases.
    """

    action: str
    value: str = ""
    manner: str = ""
    thing: str = ""
    new: str = ""
    owner: str = ""
    color: str = ""
    where: str = ""
    place: str = ""
    style: str = ""
    medium: str = ""


def say(asked: Asked, draw: Random) -> str:
    """One of the phrasings."""
    phrases = table("phrases")
    if asked.action in ("weather", "time"):
        return draw.choice(phrases[asked.action][asked.value]["write"])
    if asked.action == "unstyle":
        templates = list(phrases["style"][asked.value])
    elif asked.manner == "at":
        templates = list(phrases["place"]["at"])
    elif asked.manner == "worn" and asked.action == "remove":
        templates = list(phrases["remove"]["worn"])
    else:
        templates = phrases[asked.action]["write"] + (phrases[asked.action].get(asked.manner, [])
            if asked.manner else [])
    fields = {name: getattr(asked, name) for name in SLOTS}
    templates = [t for t in templates if all(fields[slot] for slot in re.findall(r"{(\w+)}", t))]
    if asked.action == "place" and asked.place and asked.place.split()[-1] in words("scene", "paths"):
        templates = [t for t in templates if "background" not in t]
    if asked.action == "recolor":
        fields["a_color"] = a(asked.color)
        templates = [t.replace("a {color}", "{a_color}") if "a {color} color" in t else t for t in templates]
        if " and " in asked.color or "colored" in asked.color:
            templates = [t for t in templates if "a_color" not in t]
        if re.search(r"\b(?:colou?red|blonde?|brunette)\b", asked.color):
            templates = [t for t in templates if "color" not in t.replace("{color}", "") and "paint" not in t
                and "dye" not in t]
    template = draw.choice(templates)
    if asked.where.startswith("to ") and asked.action == "add":
        template = "add {new} {where}"
    if template.startswith("move"):
        fields["where"] = _toward(asked.where)
    return template.format(**fields)


def _toward(where: str) -> str:
    """"in the dog's mouth" -> "into the dog's mouth"; "at the top of the hill" -> "to the top of the hill"."""
    where = re.sub(r"^(?:in|at|on) (the (?:background|foreground|left|right|middle|top|bottom|edge|side)\b)",
        r"to \1", where)
    where = re.sub(r"^at (the .+ feet)$", r"to \1", where)
    return re.sub(r"^on (?=the )", "onto ", re.sub(r"^in (?=the .+ mouth$)", "into ", where))


def read(instruction: str) -> Asked | None:
    """What an instruction asks for, or None where the grammar cannot read it."""
    if len(instruction) > 400:
        return None
    text = " ".join(instruction.lower().replace("’", "'").split()).rstrip(" .!?")
    text = re.sub(r"^(?:please |could you |can you |would you |i want you to |let's )+", "", text).strip()
    text = re.sub(r"(?:,? please)$", "", text).replace("colour", "color")
    for pattern, action, value in _patterns():
        match = pattern.fullmatch(text)
        if match is None:
            continue
        found = match.groupdict()
        if all(_fits(name, slot) for name, slot in found.items()):
            slots = {name: slot for name, slot in found.items() if name in SLOTS}
            asked = Asked(action, value, **slots)
            return _settle(asked, found.get("from", ""), text)
    return None


def _alive(owner: str) -> bool:
    noun = owner.split("'")[0].split()[-1]
    known = words("people", "singular") | words("people", "many") | words("things", "animals") | {"him", "her",
        "them", "man", "men"}
    return noun in known or singular(noun) in known


def _settle(asked: Asked, origin: str, said: str) -> Asked | None:
    """What only the whole shows: "remove the hat from the man" names an owner, "put a cup on the table" no wearer."""
    owner = re.sub(r"'s? (?:head|face|neck|body|hands?|mouth|back|shoulders?|feet)$", "", origin or asked.owner)
    owner = "" if owner in WHOLE else owner
    if asked.action == "give" and not _alive(owner):
        where = f"{'on' if said.startswith('put') else 'in' if owner == 'the sky' else 'to'} {owner}"
        return replace(asked, action="add", owner="", where=where)
    if asked.action == "replace" and asked.thing in ("the background", "the scene", "the setting"):
        return Asked("place", place=asked.new) if _fits("place", asked.new) else None
    thing = re.sub(r"^the (hair|shirt|fur|color|coat|dress|jacket) of (the .+)$", r"\2's \1", asked.thing)
    if asked.action == "recolor":
        thing = re.sub(r"'s? (?:fur|color|fur color)$", "", thing)
    new = re.sub(r" (?:sitting|standing|lying|hanging|flying|parked)$", "", asked.new)
    return replace(asked, owner=owner, thing=thing, new=new, style=styles().get(asked.style, ""))


WHOLE = ("the image", "the picture", "the photo", "the scene", "the background", "the frame")


@cache
def _patterns() -> list[tuple[re.Pattern[str], str, str]]:
    phrases = table("phrases")
    plain: list[tuple[str, str, str]] = []
    for action in ("weather", "time"):
        for value, lists in phrases[action].items():
            plain += [(t, action, value) for t in lists["write"] + lists.get("read", [])]
    plain += [(t, "unstyle", "color") for t in phrases["style"]["color"]]
    plain += [(t, "unstyle", "off") for t in phrases["style"]["off"] + phrases["style"]["off_read"]]
    plain += [(t, "style", "") for t in phrases["style"]["write"] + phrases["style"]["read"]]
    for action in ("place", "recolor", "give", "move", "add", "remove", "replace"):
        lists = phrases[action]
        known = {t for key in ("at", "worn", "held", "paint", "dye", "write", "read") for t in lists.get(key, [])}
        plain += [(t, action, "") for t in sorted(known, key=lambda t: (-len(t), t))]
    return [(_compile(template), action, value) for template, action, value in plain]


def _compile(template: str) -> re.Pattern[str]:
    escaped = re.sub(r"\\?{(\w+)\\?}", lambda m: f"(?P<{m[1]}>{HOLDS.get(m[1], '.+?')})", re.escape(template))
    return re.compile(escaped.replace(r"a\ (?P<color>", r"an?\ (?P<color>"))


def _fits(name: str, slot: str | None) -> bool:
    """Whether a slot holds what its name says, where its pattern cannot tell."""
    if not slot:
        return False
    if name in ("thing", "owner", "medium", "from"):
        return not re.search(r"\b(?:with|into|to|for|and) an?(?: |$)|\b(?:from|instead|back|of the colou?r)\b", slot)
    if name == "where":
        return not re.match(r"(?:out|away|off|for|with|as|like)\b", slot)
    if name == "style":
        return slot in styles()
    if name == "place":
        return not COLOR.fullmatch(slot) and any(re.search(rf"\b{noun}\b", slot) for noun in _place_nouns())
    if name == "new":
        return (not COLOR.fullmatch(slot)
            and not re.match(r"(?:the|its?|his|her|fog|rain|snow)\b|.* (?:next|front|top|out)$", slot))
    return True


@cache
def _place_nouns() -> tuple[str, ...]:
    more = ("mountain", "mountains", "lake", "ocean", "city", "river", "island", "canyon", "stadium", "castle", "town")
    return (*(noun for place in table("scene")["place"] for noun in place["nouns"]), *more)


@cache
def styles() -> dict[str, str]:
    """"a watercolor painting", and what else it is called -> "a watercolor painting"."""
    found: dict[str, str] = {}
    for style in table("scene")["style"]:
        found |= dict.fromkeys([a(style["name"]), *style.get("alias", [])], a(style["name"]))
    return found


@dataclass(frozen=True, slots=True)
class Draft:
    """An edit before it is worded. what: the thing it concerns, so that a caption's edits are not all of one thing."""

    kind: str
    forward: Asked
    edited: str
    reverse: Asked
    what: str = ""
