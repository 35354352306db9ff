"""What the grammar knows of the world: the TOML files of `tables/`, and how a thing is found in them."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

FILES = ("colors", "people", "things", "replace", "add", "scene", "move", "phrases")


@cache
def table(name: str) -> dict[str, Any]:
    """One of FILES."""
    text = resources.files("uip2p.instructions.grammar").joinpath("tables", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def words(name: str, *keys: str) -> frozenset[str]:
    """A list of a table as a set."""
    value: Any = table(name)
    for key in keys:
        value = value[key]
    return frozenset(value)


def longest(names: Iterable[str], known: frozenset[str]) -> str:
    """The longest ending of one of the names ("big tennis ball") that is known ("tennis ball"), or ""."""
    best = ""
    for name in names:
        parts = name.split()
        for start in range(len(parts)):
            ending = " ".join(parts[start:])
            if ending in known:
                best = max(best, ending, key=len)
                break
    return best


@cache
def nouns() -> frozenset[str]:
    """Every noun that a table names, singular or plural as it stands there."""
    found: set[str] = set()
    for palette in table("colors")["palette"].values():
        found.update(palette["things"])
    for key in ("worn", "animal_worn", "held", "beside", "animals"):
        found.update(table("things")[key])
    for swap in table("replace")["swap"]:
        found.update(swap["things"], swap["into"])
    found.update(table("people")["singular"], table("people")["many"])
    for place in table("scene")["place"]:
        found.update(place["nouns"])
    for entry in (*table("add")["on"], *table("move")["relation"]):
        found.update(name for name in entry["base"] if name)
    return frozenset(found)


@cache
def version() -> str:
    """A hash over the tables and the code beside them: other rules, another version."""
    folder = resources.files("uip2p.instructions.grammar")
    digest = hashlib.blake2b(digest_size=8)
    for part in (folder, folder.joinpath("tables")):
        for file in sorted((f for f in part.iterdir() if f.name.endswith((".py", ".toml"))), key=lambda f: f.name):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
