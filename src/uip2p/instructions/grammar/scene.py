"""What concerns the whole picture: its place, the weather, the time of day, its style."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import COLORS, PERSONS, Scene
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import NUMBERS, a, append, bare, listed, lower_first, singular_verb, splice

MOTION = listed("through across along down up over around into onto")


# Captions that speak of a picture, or begin with what kind of picture they are of.
TITLED = re.compile(
    r"^(?:\W*(?:an?|the|this|some|several|two|many|there (?:is|are)) )?(?:[\w-]+ ){0,3}(?:photos?|photographs?|"
    r"pictures?|images?|shots?|close[- ]?ups?|portraits?|view|views|point of view)\b"
    r"|\b(?:paintings?|drawings?|sketch|cartoon|posters?|collage|graffiti|murals?|black and white (?:photo|picture|"
    r"image)|artwork|sculptures?|photo of)\b"
)


def drafts(seen: Scene, draw: Random) -> list[Draft]:
    return [*_place(seen, draw), *_weather(seen, draw), *_time(seen, draw), *_style(seen, draw)]


@cache
def places() -> dict[str, tuple[str, str, str]]:
    """Noun of a place -> (kind, preposition at rest, preposition in motion)."""
    return {noun: (p["kind"], p["static"], p["motion"]) for p in table("scene")["place"] for noun in p["nouns"]}


def place_of(phrase: str) -> tuple[str, str, str]:
    """The entry of the place that a phrase ends in: "a sandy beach"."""
    parts = phrase.lower().split()
    for start in range(len(parts)):
        if " ".join(parts[start:]) in places():
            return places()[" ".join(parts[start:])]
    for part in parts[1:]:  # "a meadow of wildflowers"
        if part in places():
            return places()[part]
    return ("", "in", "through")


def _place(seen: Scene, draw: Random) -> Iterator[Draft]:
    """"A dog runs through a field" -> "A dog runs along a sandy beach"."""
    tokens = [t for t in seen.doc if t.pos_ in ("VERB", "AUX")]
    if any(t.lower_ not in _forms() for t in tokens):
        return
    for thing in seen.things:
        noun = thing.known(frozenset(places()))
        token = seen.doc[thing.head]
        if (not noun or thing.plural or token.dep_ != "pobj" or token.head.n_lefts
            or thing.det in ("his", "her", "their", "another", "its", "this", "that")):
            continue
        link = token.head
        kind, static, _motion = places()[noun]
        if (link.lower_ not in (*MOTION, "in", "on", "at")
            or seen.text[link.idx : thing.start].strip() != link.text or link.head.pos_ not in ("VERB", "NOUN", "AUX")):
            continue
        if (link.lower_ in ("into", "onto", "up", "over", "around")
            or (link.head.pos_ == "NOUN" and link.head.dep_ not in ("ROOT", "nsubj"))):
            continue
        rest = seen.low[: link.idx] + " " + seen.low[thing.end :]
        bound = words("scene", "targets", "bound")
        if (set(re.findall(r"[\w'-]+", rest)) & bound
            or re.match(r"\s*(?:'s|of|with|that|which|where|near|by|full|next|between|and|surrounded|covered|,|in|"
                        r"on|at|behind|under|beside|above|below|filled)\b", seen.low[thing.end :])):
            continue
        if set(seen.modifiers(thing).split()) & {"crowded", "busy", "racing", "soccer", "baseball", "football",
            "market", "play", "same", "side", "middle", "open"}:
            continue
        if (noun not in thing.name or thing.name not in (noun, f"city {noun}", f"dirt {noun}", f"park {noun}",
            f"forest {noun}") or ((noun == "area" or noun == "ground" or noun == "room")
            and not seen.modifiers(thing))):
            continue
        targets = [t for t in table("scene")["targets"][kind] if _elsewhere(seen, thing.name, t)]
        if (kind == "indoors" and link.lower_ in MOTION) or not targets:
            continue
        target = draw.choice(targets)
        moving = link.lower_ in MOTION
        entry = place_of(target)
        preposition = entry[2] if moving else entry[1]
        if (not moving and seen.has("running", "runs", "run", "walking", "walks", "trotting")
            and link.lower_ == "in" and preposition == "on"):
            preposition = "along"
        edited = splice(seen.text, link.idx, thing.end, f"{preposition} {target}")
        old = " ".join(seen.low[thing.middle : thing.end].split())
        mass = noun in {n for p in table("scene")["place"] for n in p.get("mass", [])}
        forward = Asked("place", place=target)
        reverse = Asked("place", manner="at", where=f"{static} the {old}") if mass else Asked("place", place=a(old))
        yield Draft("place", forward, edited, reverse, "place")


def _elsewhere(seen: Scene, old: str, target: str) -> bool:
    """Whether a target is another kind of place than the caption's, and one where its people could be as they are."""
    alike = table("scene")["targets"]["alike"]
    if any(set(old.split()) & set(group) and set(bare(target).split()) & set(group) for group in alike):
        return False
    if "snowy" in target and seen.has_any(words("scene", "summer") - {"beach", "sand", "sandy", "green"}):
        return False
    if ({"street", "lot"} & set(target.split()) and any(seen.has(w)
        for w in ("lying", "laying", "lies", "lays", "sleeping", "sleeps", "sitting", "sits", "resting", "rests",
        "sit", "lie", "lay", "rest", "wrestle", "wrestling"))):
        return False
    return not any(w in seen.words for w in bare(target).split())


@cache
def _forms() -> frozenset[str]:
    """Every form of the verbs that can be done anywhere: "run", "runs", "running"."""
    found = set(listed("is are was be being been am lying"))
    for verb in words("scene", "targets", "verbs"):
        stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
        doubled = stem + stem[-1] if re.search(r"[^aeiou][aeiou][bgmnpt]$", stem) else stem
        found |= {verb, singular_verb(verb), stem + "ing", doubled + "ing"}
    return frozenset(found)


def outdoors(seen: Scene) -> bool:
    if seen.has_any(words("scene", "open")):
        return not seen.has_any(words("scene", "shut"))
    return seen.has_any(words("scene", "outdoors")) and not seen.has_any(words("scene", "inside"))


def _phrase(seen: Scene, phrase: str) -> str | None:
    """The caption with a phrase at its end; None where it would be read with the wrong words."""
    if re.search(r"[.!?;]\s+\S", seen.text.strip()):
        return None
    return append(seen.text, phrase)


def _visible(seen: Scene, phrases: list[str]) -> list[str]:
    """The phrases without a sky, where the caption does not speak of a place that has one in sight."""
    wide = seen.has_any(words("scene", "wide"))
    return [phrase for phrase in phrases if wide or not re.search(r"\b(?:sky|clouds)\b", phrase)]


def _weather(seen: Scene, draw: Random) -> Iterator[Draft]:
    if not outdoors(seen) or seen.has_any(words("scene", "unseen")):
        return
    kinds = [w for w in table("scene")["weather"] if w["to"] != "snow" or not seen.has_any(words("scene", "summer"))]
    weather = draw.choice([kind for kind in kinds if _visible(seen, kind["phrases"])])
    edited = _phrase(seen, draw.choice(_visible(seen, weather["phrases"])))
    if edited:
        yield Draft("weather", Asked("weather", weather["to"]), edited, Asked("weather", weather["to"] + "_off"),
            "weather")


def _time(seen: Scene, draw: Random) -> Iterator[Draft]:
    if (not outdoors(seen) or seen.has_any(words("scene", "unseen") - {"snow", "snowy", "snow-covered", "ice",
        "winter", "frozen", "icy", "cold", "cloudy", "overcast", "umbrella", "umbrellas"})):
        return
    time = draw.choice(table("scene")["time"])
    edited = _phrase(seen, draw.choice(_visible(seen, time["phrases"])))
    if edited:
        yield Draft("time", Asked("time", time["to"]), edited, Asked("time", time["to"] + "_off"), "time")


def _style(seen: Scene, draw: Random) -> Iterator[Draft]:
    """"A dog running" -> "A watercolor painting of a dog running"; "A dog runs" -> "A dog runs, drawn in pencil"."""
    if TITLED.search(seen.low):
        return
    colorful = bool(seen.words & COLORS)
    styles = [s for s in table("scene")["style"] if s.get("colors", True) or not colorful]
    for style in draw.sample(styles, 2):
        edited = _titled(seen, draw.choice(style["prefix"]))
        if edited is None or draw.random() < 0.3:
            edited = _phrase(seen, f", {draw.choice(style['suffix'])}")
        if edited is None:
            return
        name = style["name"]
        value = "color" if name == "black and white photo" else "off"
        yield Draft("style", Asked("style", style=a(name)), edited,
            Asked("unstyle", value, medium=f"the {name}"), "style")


@cache
def _finite_forms() -> frozenset[str]:
    """"runs", "sits", "is" …"""
    return frozenset(singular_verb(verb) for verb in words("scene", "verbs"))


def _titled(seen: Scene, prefix: str) -> str | None:
    """"a painting of" before a caption that is a noun phrase, or is one without its "is"; None for other sentences."""
    text = seen.text
    finite = [t for t in seen.doc if t.tag_ in ("VBZ", "VBP", "VBD", "MD")]
    root = next(t for t in seen.doc if t.head.i == t.i)
    if (re.search(r"[.!?;]\s+\S", text.strip()) or seen.low.startswith(("there ", "this ", "it ", "these ",
        "we ", "i "))):
        return None
    first = seen.doc[0]
    if (first.pos_ not in ("DET", "NUM") and first.tag_ not in ("NNS", "PRP$") and first.lower_ not in NUMBERS) or any(
        t.lower_ in _finite_forms() and t.tag_ not in ("VBZ", "VBP", "VBD") for t in seen.doc[1:]):  # fmt: skip
        return None
    if not finite and any(_misread(t) for t in seen.doc[1:]):
        return None
    if (not finite and root.pos_ in ("NOUN", "PROPN")) or (not finite and root.tag_ == "VBG"):
        body = text
    elif (len(finite) == 1 and finite[0].lower_ in ("is", "are") and finite[0].head.i == root.i
        and root.tag_ == "VBG" and root.i == finite[0].i + 1):
        body = text[: finite[0].idx] + text[root.idx :]
    else:
        return None
    capital = text[:1].isupper()
    titled = f"{prefix} {lower_first(body)}"
    return titled[0].upper() + titled[1:] if capital else titled


def _misread(token: Any) -> bool:
    """Whether a word may be the sentence's verb that spaCy took for something else: "a fireman sprays inside", "a man
    and a man jump"."""
    before = token.nbor(-1)
    if token.tag_ == "NNS" and before.lower_ in PERSONS | words("things", "animals"):
        return True
    bare_verb = token.lower_ in words("scene", "verbs") and token.tag_ in ("VB", "NN")
    return bare_verb and before.lower_ != "to" and before.pos_ in ("NOUN", "PROPN")
