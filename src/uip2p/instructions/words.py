"""The words of captions and instructions, compared without regard to inflection: what an edit brings in and takes away.

No parse: an instruction is short and its words come in a known order, and whether a word is the thing acted on or the
thing brought in is told by the two captions. A word of the one that the other lacks is what the edit is about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from uip2p.errors import UserError
from uip2p.instructions.lexicon import ADD, CHANGE, FUNCTION, LIGHT, NUMBERS, REMOVE, SAME, UNSAID

AWAY = re.compile(r"\b(?:away|off|out|from)\b")
GONE = re.compile(r"\b(?:disappears?|vanish(?:es)?|go away|be gone|bare|bareheaded|barefoot|empty|plain)\b")
INSTEAD = re.compile(r"\b(?:in place|instead|rather)\b", re.IGNORECASE)
# "remove the cup and add a vase"
AND = re.compile(rf"\band (?:then )?(?:{'|'.join(sorted(ADD | CHANGE))})\b", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Lower case, without punctuation and possessive 's; what a hyphen joins is several words."""
    return [word.removesuffix("'s") for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("’", "'"))]


@lru_cache(maxsize=100_000)
def canonical(word: str) -> str:
    """One name for all inflections of a word: "jackets" → "jacket", "worn" → "wear", "rainy" → "rain"."""
    lemmas = _lemmas()
    while word not in SAME:
        found = lemmas(word)
        forms = {form.lower() for forms in found.values() for form in forms if form.isalpha() and len(form) > 1}
        if not found and re.search(r"[^sui]s$", word):  # a plural that no dictionary has: "frisbees"
            forms.add(word[:-1])
        shortest = min((*forms, word), key=lambda form: (len(form), form))
        if shortest == word:
            return word
        word = shortest
    return SAME[word]


@lru_cache(maxsize=1)
def _lemmas():  # type: ignore[no-untyped-def]
    try:
        from lemminflect import getAllLemmas
    except ImportError:
        raise UserError("to judge edits, install lemminflect: pip install 'uip2p[data]'.") from None
    return getAllLemmas


@lru_cache(maxsize=10_000)
def content(text: str) -> tuple[str, ...]:
    """The canonical words that tell what is seen, in their order."""
    return tuple(canonical(word) for word in words(text) if word not in FUNCTION)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an instruction says of a change from one caption to another. All words are canonical.

    invented: its words that neither caption has. brings, takes: of its words, those that only the caption after has,
    and only the one before. gained, lost: what the captions differ in, asked for or not, without LIGHT words.
    removes: it is an instruction to take something away. acts: it can make this change at all: what it removes is
    there and goes, or what it brings in comes, and what is replaced is named before what replaces it.
    """

    invented: frozenset[str]
    brings: frozenset[str]
    takes: frozenset[str]
    gained: frozenset[str]
    lost: frozenset[str]
    removes: bool
    acts: bool


def verb(instruction: str) -> str:
    """"remove", "add" (what was there stays) or "change"; "" where it begins with no verb of editing."""
    said = words(instruction)
    while said and said[0] in ("please", "now", "then", "also", "just"):
        said = said[1:]
    if not said:
        return ""
    first = said[0]
    rest = " ".join(said[1:])
    if first in REMOVE or (first == "get" and rest.startswith("rid of")):
        return "change" if AND.search(rest) else "remove"
    if first in CHANGE and (
        GONE.search(rest) or (first in ("take", "cut", "crop", "wash") and AWAY.search(rest))
    ):
        return "remove"
    return "add" if first in ADD else "change" if first in CHANGE else ""


@lru_cache(maxsize=10_000)
def read(instruction: str, before: str, after: str) -> Reading:
    """An instruction between the captions of the picture before it and after it."""
    asked = content(AND.sub(" ", instruction))[1:]
    had, has = Counter(content(before)), Counter(content(after))
    lost, gained = had - has, has - had
    brings, takes = (frozenset(word for word in asked if word in side) for side in (gained, lost))
    unsaid = {word for says, undone in UNSAID if undone & lost.keys() for word in says}
    invented = frozenset(asked) - had.keys() - has.keys() - LIGHT - unsaid
    what = verb(instruction)
    counted = NUMBERS & (lost.keys() | gained.keys())  # "add another dog"
    if what == "remove":
        acts = bool(takes - LIGHT or counted) and frozenset(asked) - LIGHT <= had.keys()
    else:
        acts = bool(brings or unsaid & set(asked) or (counted and what == "add"))
        old, new = ([at for at, word in enumerate(asked) if word in side - LIGHT] for side in (takes, brings))
        if what == "change" and old and new and not INSTEAD.search(instruction):
            acts = old[0] < new[-1]
    return Reading(invented, brings, takes, _heavy(gained), _heavy(lost), what == "remove", acts)


def _heavy(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words) - LIGHT
