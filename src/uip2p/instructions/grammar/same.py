"""Whether two captions say the same: what the grammar's round trip is judged by."""

from __future__ import annotations

import re
from functools import cache

from uip2p.instructions.grammar.scene import places
from uip2p.instructions.grammar.tables import nouns, table
from uip2p.instructions.grammar.text import listed, plural_verb, singular

ARTICLES = listed("a an the some")
JOINTS = listed("with wearing in holding carrying and has next to beside by near dressed")


def same(a: str, b: str) -> bool:
    """Whether two captions say the same: equal up to case, articles, punctuation and spacing, or up to where one phrase
    stands ("a man in a hat rides a horse", "a man rides a horse wearing a hat")."""
    first, second = _normal(a), _normal(b)
    return first == second or (max(len(first), len(second)) <= 60 and _moved(first, second))


@cache
def _in_places() -> re.Pattern[str]:
    """"through the field", "on a field": how one is in a place is not what a change of places is about."""
    nouns_ = "|".join(sorted(map(re.escape, places()), key=len, reverse=True))
    return re.compile(rf"\b(?:through|across|along|down|in|on|at) ((?:[\w'-]+ ){{0,2}}(?:{nouns_}))\b")


def _normal(text: str) -> list[str]:
    low = text.lower().replace("’", "'").replace("colour", "color").replace("grey", "gray")
    found = [word for word in re.findall(r"[\w]+(?:[-'][\w]+)*", low) if word not in ARTICLES]
    found = [word for i, word in enumerate(found) if not (word in ("is", "are") and i + 1 < len(found)
        and found[i + 1].endswith("ing"))]
    text = " ".join(found)
    for said, meant in table("move")["same"].items():
        text = re.sub(rf"\b{said}\b", meant, text)
    return _in_places().sub(r"in \1", text).split()


def _moved(a: list[str], b: list[str]) -> bool:
    """Whether a phrase that begins with "with", "in", "and", "next to" … stands elsewhere, and all else is equal."""
    for length in range(2, 10):
        for start in range(len(a) - length + 1):
            block = a[start : start + length]
            if block[0] not in JOINTS or _content(block) == ():
                continue
            rest = [w for w in a[:start] + a[start + length :] if w != "and"]
            content = _content(block)
            for width in range(1, 11):
                for at in range(len(b) - width + 1):
                    other = b[at : at + width]
                    if (_content(other) == content and _agreeing(rest,
                        [w for w in b[:at] + b[at + width :] if w != "and"])):
                        return True
    return False


def _content(block: list[str]) -> tuple[str, ...]:
    words_ = [w for w in block]
    while words_ and words_[0] in JOINTS:
        words_.pop(0)
    return tuple("its" if w in ("his", "her", "their") else w for w in words_)


def _agreeing(a: list[str], b: list[str]) -> bool:
    """Equal, up to the number of a verb."""
    return (len(a) == len(b) and all(x == y or {x, y} in ({"is", "are"}, {"has", "have"}, {"was", "were"})
        or (plural_verb(x) == plural_verb(y) and not _noun(x)) for x, y in zip(a, b, strict=True)))


def _noun(word: str) -> bool:
    return word in nouns() or singular(word) in nouns()
