"""Putting a thing in: onto somebody, onto a named thing, or into a scene that can have it and does not name it."""

from __future__ import annotations

import re
from random import Random

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import Scene, Thing, possessive
from uip2p.instructions.grammar.scene import outdoors
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import append, bare, singular


def drafts(seen: Scene, draw: Random) -> list[Draft]:
    """A thing to wear, a thing on a thing, a thing in the scene: at most one of each."""
    found = []
    for way in (_worn, _held, _on, _scene, _anywhere):
        drafted = way(seen, draw)
        if drafted is not None:
            found.append(drafted)
    return found


def _new(seen: Scene, choices: list[str], classes: list[str], draw: Random) -> str:
    """One of the things that the caption has nothing of, or ""."""
    if seen.has_any(classes):
        return ""
    fresh = [new for new in choices if not any(seen.has(w) or seen.has(singular(w)) for w in bare(new).split()[-1:])]
    return draw.choice(fresh) if fresh else ""


def _worn(seen: Scene, draw: Random) -> Draft | None:
    entries = list(table("add")["worn"])
    draw.shuffle(entries)
    for thing in seen.things:
        if thing.plural or thing.det not in ("a", "an", "the", "", "one") or not seen.refer(thing):
            continue
        if thing.one in words("people", "many") or (thing.det == "" and thing.start):
            continue
        for entry in entries:
            if thing.person and "person" in entry["who"]:
                if seen.has_any(table("add")["class"]["busy"]) or sum(t.person for t in seen.things) > 1:
                    continue
            elif not thing.animal or not thing.known(frozenset(entry["who"])):
                continue
            new = _new(seen, entry["new"], table("add")["class"][entry["class"]], draw)
            place = _wear(seen, thing, new) if new else None
            if place is None:
                continue
            reference = seen.refer(thing)
            return Draft("add", Asked("give", manner="worn", owner=reference, new=new), place,
                         Asked("remove", manner="worn", thing=f"{possessive(reference)} {bare(new)}"
                         if draw.random() < 0.5
                               else f"the {bare(new)}"), bare(new))  # fmt: skip
    return None


def _held(seen: Scene, draw: Random) -> Draft | None:
    """"A woman stands by the road" -> "A woman holding a red balloon stands by the road"."""
    entry = table("add")["held"]
    people = [thing for thing in seen.things if thing.person]
    if (len(people) != 1 or seen.has_any(entry["never"]) or people[0].plural
        or people[0].one in words("people", "many") or not (reference := seen.refer(people[0]))):
        return None
    who = people[0]
    token = seen.doc[who.head]
    after = seen.doc[token.i + 1] if token.i + 1 < len(seen.doc) else None
    verb = after.head if after is not None and after.pos_ == "AUX" else after
    if (after is None or verb is None or verb.pos_ != "VERB" or verb.i - token.i > 2
        or who.det not in ("a", "an", "the") or re.sub(r"(?:ing|s)$", "",
        verb.lower_) not in {v.removesuffix("e") for v in entry["verbs"]} | set(entry["verbs"])):
        return None
    new = _new(seen, entry["new"], [], draw)
    if not new:
        return None
    edited = seen.text[: who.end] + f" holding {new}" + seen.text[who.end :]
    if after.tag_ == "VBG":
        edited = seen.text[: who.end] + f" with {new}" + seen.text[who.end :]
    return Draft("add", Asked("give", manner="held", owner=reference, new=new), edited,
        Asked("remove", thing=f"the {bare(new)}"), bare(new))


def _wear(seen: Scene, thing: Thing, new: str) -> str | None:
    """The caption with the new thing on somebody, said where it is fluent; None where it would not be."""
    token = seen.doc[thing.head]
    after = seen.doc[token.i + 1] if token.i + 1 < len(seen.doc) else None
    carried = "backpack" in new
    if (after is None or after.text in (".", "!") or after.is_space
        or (after.tag_ in ("VBZ", "VBP", "VBD", "MD") and after.dep_ in ("ROOT", "aux", "auxpass", "cop"))):
        phrase = f"with {new}" if carried else f"wearing {new}"
    elif (after.tag_ == "VBG" and after.lower_ not in ("wearing", "holding", "carrying", "including")
        and after.dep_ in ("acl", "ROOT")) or (after.pos_ == "ADP"
        and after.lower_ in ("on", "at", "by", "near", "outside", "inside", "under", "next")
        and after.head.i == token.i):
        phrase = f"with {new}" if carried or thing.animal else f"in {new}"
    else:
        return None
    return seen.text[: thing.end] + " " + phrase + seen.text[thing.end :]


def _on(seen: Scene, draw: Random) -> Draft | None:
    for thing in seen.things:
        entry = next((e for e in table("add")["on"] if thing.known(frozenset(e["base"]))), None)
        if entry is None or thing.plural or thing.det not in ("a", "an", "the", "his", "her") or not seen.refer(thing):
            continue
        rest = seen.low[thing.end :]
        if not re.match(r"\s*(?:[.!]?\s*$|, |(?:while|as|near|next|by|in|at|under|holding|eating|looking|reading|"
                        r"beside|behind)\b)", rest):
            continue
        if not re.search(r"\b(?:on|at|near|beside|next to|by|in front of|behind|has|of|and|with|over|around|under) "
                         r"(?:\w+ ){0,4}$", seen.low[: thing.noun]):
            continue
        new = _new(seen, entry["new"], entry["class"], draw)
        if not new or re.match(r"\s*(?:with|that|which)\b", rest):
            continue
        edited = seen.text[: thing.end] + f" with {new} on it" + seen.text[thing.end :]
        if re.match(r" in (?!a|the|an)", rest) or "mouth" in rest:
            continue
        return Draft("add", Asked("add", new=new, where=f"on {seen.refer(thing)}"), edited,
                     Asked("remove", thing=f"the {bare(new)}"), bare(new))  # fmt: skip
    return None


def _set(seen: Scene, names: list[str]) -> bool:
    """Whether one of the words is a thing of the caption ("beach", not "beach ball") or says how it is ("snowy")."""
    return (any(thing.known(frozenset(names)) for thing in seen.things)
        or any(t.pos_ == "ADJ" and t.lower_ in names for t in seen.doc))


UNFIT = re.compile(r"\b(?:background|distance|foreground|reflection|photos?|pictures?|painting|statue|close[- ]?up|"
                   r"up close|up-close|shot of|view|underwater|indoor|mirror|collage|image|screen|closeup)\b")


def _said(seen: Scene, new: str, where: str) -> str | None:
    """The caption with a thing of the scene at its end; None for several sentences, or where there is no background."""
    if re.search(r"[.!?;]\s+\S", seen.text.strip()) or UNFIT.search(seen.low):
        return None
    comma = re.search(r"\b(?:with|while|whilst|as|and|that|who|which)\b", seen.low)
    return append(seen.text, f", with {new} {where}" if comma else f"with {new} {where}")


def _anywhere(seen: Scene, draw: Random) -> Draft | None:
    entry = table("add")["anywhere"]
    new = _new(seen, entry["new"], entry["never"], draw)
    edited = (_said(seen, new, "in the background") if new and any(t.person
        or t.known(words("things", "beside")) for t in seen.things) else None)
    if edited is None:
        return None
    return Draft("add", Asked("add", new=new, where="in the background"), edited,
        Asked("remove", thing=f"the {bare(new)}"), bare(new))


def _scene(seen: Scene, draw: Random) -> Draft | None:
    entries = list(table("add")["scene"])
    draw.shuffle(entries)
    outside = outdoors(seen)
    for entry in entries:
        home = bool({"kitchen", "living room", "bedroom"} & set(entry["words"]))
        water = "in the water" in entry["where"]
        if not _set(seen, entry["words"]) or not (home or water or outside):
            continue
        new = _new(seen, entry["new"], entry["class"], draw)
        if not new:
            continue
        where = draw.choice(entry["where"])
        edited = _said(seen, new, where)
        if edited is None:
            return None
        return Draft("add", Asked("add", new=new, where=where), edited,
            Asked("remove", thing=f"the {bare(new)}"), bare(new))
    return None
