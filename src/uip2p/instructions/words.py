"""The words of captions and instructions, compared without regard to inflection: what an edit brings in and takes away.

No parse: an instruction is short and its words come in a known order, and whether a word is the thing acted on or the
thing brought in is told by the two captions. A word of the one that the other lacks is what the edit is about.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from uip2p.errors import UserError
from uip2p.instructions.lexicon import (
    ACTING,
    ADD,
    CHANGE,
    COUNTS,
    FUNCTION,
    LIGHT,
    REMOVE,
    SAME,
    SCENERY,
    STATES,
    UNSAID,
    WEATHER,
)

AWAY = re.compile(r"\b(?:away|off|out|from)\b")
GONE = re.compile(r"\b(?:disappears?|vanish(?:es)?|stops?(?! (?:sign|light))|go away|be gone|bareheaded|barefoot)\b")
TARGET = re.compile(r"\W*(?:please )?(\w+) (?:the|his|her|its|their) (.*)", re.IGNORECASE | re.DOTALL)
CONNECTOR = re.compile(r"\b(?:to|into|with|for|in|by|on|from|an?|some|look|wear|be)\b", re.IGNORECASE)
INSTEAD = re.compile(r"\b(?:in place|instead|rather|substitute)\b", re.IGNORECASE)
# "remove the cup and add a vase"
AND = re.compile(rf"\band (?:then )?(?:{'|'.join(sorted(ADD | CHANGE))})\b", re.IGNORECASE)


@lru_cache(maxsize=10_000)
def words(text: str) -> tuple[str, ...]:
    """Lower case, without punctuation and possessive 's. What a hyphen joins is several words, but for "t-shirt"."""
    plain = re.sub(r"\b([^\W\d_])-(?=[^\W_])", r"\1", text.lower().replace("’", "'"))
    return tuple(word.removesuffix("'s") for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", plain))


@lru_cache(maxsize=100_000)
def canonical(word: str) -> str:
    """One name for all inflections of a word: "jackets" → "jacket", "worn" → "wear", "rainy" → "rain"."""
    lemmas = _lemmas()
    while word not in SAME:
        found = lemmas(word)
        forms = {form.lower() for forms in found.values() for form in forms if form.isalpha() and len(form) > 1}
        if not found and re.search(r"[^sui]s$", word):  # a plural that no dictionary has: "frisbees"
            forms.add(word[:-1])
        shortest = min((*forms, word), key=lambda form: (len(form), form == word, form))
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


def target(instruction: str) -> frozenset[str]:
    """What an instruction acts on, as far as its words tell: "make the man's coat a denim jacket" → man, coat."""
    found = TARGET.match(instruction)
    if found is None or found[1].lower() not in ACTING:
        return frozenset()
    until, said = CONNECTOR.search(found[2]), found[2]
    return frozenset(content(said[: until.start()])) if until else frozenset(content(said)[:1])


@dataclass(frozen=True, slots=True)
class Reading:
    """What an instruction says of a change from one caption to another. All words are canonical.

    invented: its words that neither caption has. brings, takes: of its words, those that only the caption after has,
    and only the one before. gained, lost: what the captions differ in, asked for or not, without the words that may
    come and go with any edit.
    acts: it can make this change at all: what it removes is there and goes, or what it brings in comes, what it acts on
    is there, and what is replaced is named before what replaces it.
    """

    invented: frozenset[str]
    brings: frozenset[str]
    takes: frozenset[str]
    gained: frozenset[str]
    lost: frozenset[str]
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
    said = content(AND.sub(" ", instruction))
    asked = said[1:]  # without its verb
    had, has = Counter(content(before)), Counter(content(after))
    lost, gained = had - has, has - had
    both = had.keys() | has.keys()
    named = {*said, *(first + second for first, second in pairwise(asked))}  # "rain coat" names a raincoat
    free = LIGHT | SCENERY if STATES & named else LIGHT
    unsaid = {word for says, undone in UNSAID if undone & (lost.keys() | gained.keys()) for word in says}
    apart = {part for pair in pairwise(asked) if "".join(pair) in both for part in pair}
    brings, takes = frozenset(named & gained.keys()), frozenset(named & lost.keys())

    what = verb(instruction)
    more = sum(COUNTS.get(word, 0) for word in gained) - sum(COUNTS.get(word, 0) for word in lost)
    old = [at for at, word in enumerate(asked) if word in takes - LIGHT]
    new = [at for at, word in enumerate(asked) if word in (brings - LIGHT) | unsaid]
    if what == "remove":
        weather = SCENERY & named and WEATHER & lost.keys()  # "the dark clouds" of "a stormy sky"
        acts = bool(old or weather or more < 0) and {*asked} - free <= had.keys()
    elif what == "add":  # what was there stays, unless it is a matter of the whole picture: "add color to the photo"
        kept = lost.keys() - free <= takes or bool(unsaid & named)
        acts = more > 0 or (kept and bool(brings or unsaid & named))  # more: "add another dog"
    else:
        swapped = INSTEAD.search(instruction) is not None
        ordered = not (old and new) or (new[0] < old[-1] if swapped else old[0] < new[-1])
        acts = bool(brings or unsaid & named) and ordered and target(instruction) <= had.keys() | free | unsaid
    invented = {*asked} - both - free - unsaid - apart
    return Reading(frozenset(invented), brings, takes, frozenset(gained) - free, frozenset(lost) - free, acts)
