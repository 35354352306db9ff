"""Finding what an instruction speaks of in a caption, by words alone: it does not see the parse that wrote the edit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from uip2p.instructions.grammar.parse import COLOR, COLORS, SHADES
from uip2p.instructions.grammar.tables import nouns, words
from uip2p.instructions.grammar.text import NUMBERS, PREPOSITIONS, listed, singular

WORD = re.compile(r"[\w]+(?:[-'’][\w]+)*|'s|[^\w\s]")
DETERMINERS = listed("a an the his her its their this that these those another each every both no my "
                     "your") | frozenset(NUMBERS)
STOP = PREPOSITIONS | listed("and or is are was were has have while as who which that there wearing holding carrying")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a noun phrase is. start: of its article; middle: behind it; noun: of its name; end: behind its name."""

    start: int
    middle: int
    noun: int
    end: int


def split_reference(reference: str) -> tuple[str, str]:
    """"the man's red hat" -> ("the man", "red hat"); "the red hat" -> ("", "red hat")."""
    match = re.match(r"(.+?)(?:'s|s') (.+)$", reference)
    if match:
        return (match[1] + ("s" if reference[match.end(1)] == "s" else ""), match[2])
    return ("", re.sub(r"^(?:the|his|her|its|their|both|all|this|that|these|those)\s+(?:the\s+)?", "", reference))


def find(caption: str, reference: str) -> Place | None:
    """The one noun phrase of a caption that a reference means; None: there is none, or more than one."""
    whose, phrase = split_reference(reference.lower())
    low = caption.lower()
    found: list[Place] = []
    parts = phrase.split()
    colors = next((i for i, word in enumerate(parts) if not (word in COLORS or word in SHADES
        or word in ("and", "colored"))), 0)
    for cut in (*range(colors, len(parts)), *range(colors)):
        name, extra = " ".join(parts[cut:]), parts[:cut]
        if extra and not _modifier(" ".join(extra)):
            continue
        found = [place for match in _mentions(low, name) if (place := _place(low, *match)) and _has(low, place, extra)]
        if found:
            break
    if len(found) > 1 and whose:
        found = _nearest(low, found, whose)
    return found[0] if len(found) == 1 else None


def _modifier(phrase: str) -> bool:
    return all(word in COLORS or word in SHADES or word in ADJECTIVES or word in ("and", ",", "colored")
        or word in NUMBERS for word in phrase.split())


ADJECTIVES = listed("small large big little tiny huge wet old new lone young open shiny cute beautiful dirty tall "
                    "long short striped wooden plastic metal "
    "white sandy snowy grassy rocky muddy lush dry stone brick busy empty lit sleeping folded decorated inflatable "
    "potted fluffy furry hot cold "
    "double-decker stuffed colorful bright dark thick heavy toy yellow orange tennis soccer pickup baseball straw "
    "cowboy winter bow "
    "denim leather wild baby rubber life bicycle picnic park street fire")


def _mentions(low: str, name: str) -> list[tuple[int, int]]:
    """Where a name stands as the head of a phrase: no "dog" in "dog house" or "dogs"."""
    found = []
    for match in re.finditer(rf"(?<![\w'-]){re.escape(name)}(?![\w-])", low):
        after = WORD.match(low, match.end() + len(low[match.end() :]) - len(low[match.end() :].lstrip()))
        following = after.group() if after else ""
        if following in ("'s", "'") or (following in _heads() and low[match.end() : match.end() + 1] == " "):
            continue
        found.append(match.span())
    return found


@cache
def _heads() -> frozenset[str]:
    """Last words of known names: "dog house" is no dog."""
    verbs = listed("watch rest dress park fish fly picture slide swing ski stick pose fan can drink play surf "
                   "stand face duck ring light cross bark pet cook shower board float fire back cut sail")
    return frozenset(name.split()[-1] for name in nouns()) - verbs - words("scene", "targets", "verbs")


def _place(low: str, start: int, end: int) -> Place | None:
    """The noun phrase to the left of a name."""
    tokens = [m for m in WORD.finditer(low, 0, start)]
    begin = middle = start
    for reach, token in enumerate(reversed(tokens)):
        word = token.group()
        if word in DETERMINERS:
            begin = token.start()
            if word in NUMBERS and (before := re.search(r"\b(?:the|these|those|his|her|their)\s+$", low[:begin])):
                begin = before.start()
            return Place(begin, middle, start, end)
        colors_around = word in ("and", ",", "&") and _colors_around(low, token.start(), token.end())
        if reach >= 6 or (word in STOP and not colors_around) or not (word[0].isalnum() or colors_around):
            break
        if (word in COLORS or word in SHADES or word in ADJECTIVES or colors_around or word in NUMBERS
            or word in ("colored", "coloured") or (not re.search(r"(?:ing|[^s]s)$", word)
            and _article_left(low, token.start()))):
            begin = middle = token.start()
        else:
            break
    return Place(begin, begin, start, end)


def _colors_around(low: str, start: int, end: int) -> bool:
    left, right = re.findall(r"[\w-]+", low[:start])[-1:], re.findall(r"[\w-]+", low[end:])[:1]
    return bool(left and right and left[0] in COLORS and (right[0] in COLORS or right[0] in ("and", *SHADES)))


def _article_left(low: str, at: int) -> bool:
    """Whether an article stands not far to the left, with nothing between that ends a phrase."""
    for word in reversed(re.findall(r"[\w'-]+|[^\w\s]", low[:at])[-4:]):
        if word in DETERMINERS:
            return True
        if word in STOP or not word[0].isalnum():
            return False
    return False


def _has(low: str, place: Place, extra: list[str]) -> bool:
    return set(extra) - {"and", ",", "colored"} <= set(re.findall(r"[\w-]+", low[place.start : place.noun]))


def _nearest(low: str, found: list[Place], whose: str) -> list[Place]:
    """Of several hats, the first one behind "man"."""
    name = split_reference(whose)[1].split()[-1]
    at = [match.start() for match in re.finditer(rf"\b(?:{re.escape(name)}|{re.escape(singular(name))})\b", low)]
    if len(at) != 1:
        return found
    behind = [place for place in found if place.start > at[0]]
    return behind[:1]


def color_at(caption: str, place: Place) -> tuple[int, int] | None:
    """Where the colour of a noun phrase stands."""
    match = next((m for m in COLOR.finditer(caption.lower(), place.middle, place.noun)
        if not re.search(r"[\w-]", caption[m.end() : m.end() + 1])), None)
    return match.span() if match else None
