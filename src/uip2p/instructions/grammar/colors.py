"""Recolouring: only where the caption names the colour, so that the reverse restores it and invents nothing."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import COLORS, Scene, Thing, owner, possessive
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import splice


@cache
def palettes() -> dict[str, dict[str, list[str]]]:
    """Name of a thing -> its palette."""
    return {thing: palette for palette in table("colors")["palette"].values() for thing in palette["things"]}


def drafts(seen: Scene, draw: Random) -> list[Draft]:
    """Every coloured thing of the caption in another colour."""
    return [draft for thing in seen.things if (draft := _recolor(seen, thing, draw)) is not None] + _dressed(seen, draw)


def _dressed(seen: Scene, draw: Random) -> list[Draft]:
    """"a girl in red" -> "a girl in blue"."""
    found = []
    for match in re.finditer(r"\b(?:dressed in|wearing|in) (red|blue|green|yellow|orange|purple|pink|white|"
                             r"black)(?= (?!and\b|&)(?:is|are|with|on|at|[a-z]+ing|[a-z]+s|in|by|near|on|while|"
                             r"jumps|holds)\b|\s*[.!]?\s*$)", seen.low):
        who = next((t for t in reversed(seen.things) if t.end <= match.start()), None)
        if (who is None or not who.person or seen.low[who.end : match.start()].strip()
            or not (reference := seen.refer(who))):
            continue
        following = next((t for t in seen.doc if t.idx >= match.end()), None)
        if following is not None and following.pos_ in ("NOUN", "PROPN", "ADJ"):
            continue
        new = draw.choice([c for c in ("red", "blue", "green", "yellow", "white", "black") if c != match[1]])
        thing = f"{possessive(reference)} {draw.choice(['clothes', 'outfit'])}"
        edited = splice(seen.text, match.start(1), match.end(1), new)
        found.append(Draft("color", Asked("recolor", thing=thing, color=new), edited,
            Asked("recolor", thing=thing, color=match[1]), "clothes"))
    return found


def _recolor(seen: Scene, thing: Thing, draw: Random) -> Draft | None:
    old = seen.color_of(thing)
    name = thing.known(frozenset(palettes()))
    if not old or not name or thing.person:
        return None
    if any(fixed in f"{old} {thing.one}" for fixed in words("colors", "fixed")):
        return None
    palette = palettes()[name]
    if "hair" in name and old in ("white", "gray", "grey", "silver"):  # that would be an age
        return None
    taken = set(re.findall(r"[a-z]+",
        " ".join(seen.color_of(t) for t in seen.things if t.one.split()[-1] == thing.one.split()[-1])))
    taken |= {"gray", "grey"} if taken & {"gray", "grey", "silver"} else set()
    taken |= {"brown", "orange"} if taken & {"tan", "golden", "blond", "blonde", "beige", "khaki", "gold"} else set()
    taken |= {"yellow"} if taken & {"gold", "golden", "blond", "blonde"} else set()
    taken |= {"red", "purple", "pink"} if taken & {"maroon", "crimson", "burgundy", "reddish", "violet",
        "lavender"} else set()
    taken |= {"blue", "green"} if taken & {"teal", "turquoise", "navy", "aqua", "lime"} else set()
    colors = [color for color in palette["colors"] if color not in taken]
    if not colors:
        return None
    new = draw.choice(colors)
    assert thing.color
    start, end = thing.color
    edited = splice(seen.text, start, end, new)
    forward, backward = _called(seen, thing, old, draw), _called(seen, thing, new, draw)
    if not forward or not backward:
        return None
    manner = str(palette.get("paint", ""))
    return Draft("color", Asked("recolor", manner=manner, thing=forward, color=new), edited,
                 Asked("recolor", manner=manner, thing=backward, color=old), thing.one)  # fmt: skip


def _called(seen: Scene, thing: Thing, color: str, draw: Random) -> str:
    """A reference to the thing while it has this colour, or "" where nothing tells it from the others."""
    plain = seen.refer(thing)
    if not plain:
        return ""
    named = f"the {color} {thing.name}"
    if not seen.lonely(thing):
        return named
    whose = owner(seen, thing)
    if whose is not None and (whose.person or whose.animal) and (reference := seen.refer(whose)):
        owned = f"{possessive(reference)} {thing.name}"
        others = [t for t in seen.things if t.person and t is not whose]
        return draw.choice([named, owned, owned] if others else [plain, owned, owned])
    return draw.choice([plain, plain, named]) if not set(color.split()) - COLORS - {"and"} else plain
