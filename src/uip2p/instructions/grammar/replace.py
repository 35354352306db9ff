"""One thing for another of its kind: about as large, and able to do what the caption says it does."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import COLORS, Scene, Thing, named, owner, possessive
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import NUMBERS, a, listed, plural, splice

SAME = ({"bike", "bicycle", "mountain bike", "dirt bike"},
    {"motorcycle", "motorbike", "moped", "scooter", "dirt bike"}, {"truck", "pickup truck"},
        {"ball", "tennis ball"}, {"jacket", "coat"}, {"glasses", "goggles"}, {"hoodie", "sweatshirt"}, {"car", "taxi"},
        {"shirt", "t-shirt"}, {"hat", "beanie"}, {"coat", "raincoat"}, {"jacket", "windbreaker"},
        {"boat", "yacht"})  # fmt: skip
BORNE = ("top", "hat", "dress", "trousers", "shoes", "face", "bag")
# Words in front of a noun that its successor can have too.
SHARED = listed("small large big little tiny huge wet old new lone young two three four five six several some many "
                "open shiny cute beautiful dirty")


@cache
def swaps() -> dict[str, list[dict[str, Any]]]:
    """Name of a thing -> the swaps it can be part of."""
    found: dict[str, list[dict[str, Any]]] = {}
    for swap in table("replace")["swap"]:
        for name in swap["things"]:
            found.setdefault(name, []).append(swap)
    return found


def drafts(seen: Scene, draw: Random) -> list[Draft]:
    """Every thing of the caption that something else may stand in for."""
    return [draft for thing in seen.things if (draft := _swap(seen, thing, draw)) is not None]


def _swap(seen: Scene, thing: Thing, draw: Random) -> Draft | None:
    reference = seen.refer(thing)
    name = thing.known(frozenset(swaps()))
    if (not reference or not name or not seen.lonely(thing)
        or thing.det in ("another", "each", "every", "one", "no", "other")):
        return None
    able = [s for s in swaps()[name] if not seen.has_any(s["never"])
        and (not s.get("needs") or seen.has_any(s["needs"]))]
    if (not able or (not thing.det and thing.name in ("sheep", "deer", "fish"))
        or (name.split()[-1] != thing.name.split()[-1] and name != thing.one and not thing.plural)):
        return None
    swap = draw.choice(able)
    into = [n for n in swap["into"] if n not in thing.names and n != name and not seen.has(*n.split()[-1:])
        and not seen.has(plural(n))
            and n.split()[-1] != name.split()[-1] and not any({n, name} <= group for group in SAME)]  # fmt: skip
    if not into:
        return None
    keep = [w for w in seen.modifiers(thing).split() if w not in COLORS and w != "and"]
    if any(w not in SHARED for w in keep) or thing.name not in (name, plural(name), *swap["things"]):
        return None
    new_name = draw.choice(into)
    if thing.plural and name == thing.one and name != thing.name:
        new_name = plural(new_name)
    elif thing.plural and name not in swap["things"]:
        return None
    color = seen.color_of(thing) if swap["color"] == "keep" else ""
    if seen.modifiers(thing) and not seen.color_of(thing) and set(seen.modifiers(thing).split()) & COLORS:
        return None
    phrase = " ".join([*keep, *([color] if color else []), new_name])
    number = " ".join(seen.low[thing.start : thing.middle].split())
    counted = number in NUMBERS
    edited = splice(seen.text, thing.middle, thing.end, phrase)
    new = (f"{number} {phrase}" if counted else phrase if thing.plural or new_name.endswith("s")
        or _mass(new_name) else a(phrase))
    old = named(seen, thing)
    called = f"the {new_name}"
    whose = owner(seen, thing)
    if (swap["name"] in BORNE and whose is not None and whose.one not in words("people", "many")
        and (reference_of := seen.refer(whose)) and len([t for t in seen.things if t.person]) > 1):
        reference, called = f"{possessive(reference_of)} {thing.name}", f"{possessive(reference_of)} {new_name}"
    return Draft("replace", Asked("replace", thing=reference, new=new), edited,
        Asked("replace", thing=called, new=old), thing.one)


def _mass(name: str) -> bool:
    return name in ("broccoli", "cauliflower", "asparagus", "spinach", "coffee", "tea", "hot chocolate",
        "cattle", "deer", "sheep", "fish")
