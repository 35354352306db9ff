"""The language of a rule file's phrases, and how one is followed through a reading.

    remove|delete .. {owner} shirt?     one of two words; up to `longest` words between; a list; a word that may lack
    undress*                            any word that begins so
    <0-17> year old                     a number, in digits
    <Name>, <PERSON>                    one to three words with a capital letter; a person, as spaCy's model finds them

There are no regular expressions: nothing that can be written here takes long, and nothing that is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from uip2p.safety.reading import Reading

# Places before which the phrase may go on → places that it then reaches. Bit masks, see `reading`.
Element = Callable[[Reading, int], int]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What phrases refer to. lists: name → phrases. longest: words that ".." stands for, at most. not_over: words that
    it does not go over. not_names: words with a capital letter that <Name> is not."""

    lists: Mapping[str, Sequence[str]]
    longest: int = 4
    not_over: Sequence[str] = ()
    not_names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Phrase:
    """text: as in the rule file. entities: it can only be found by a model that finds persons."""

    text: str
    elements: tuple[Element, ...]
    entities: bool

    def found(self, reading: Reading) -> bool:
        """Whether the text says so."""
        return bool(follow(self.elements, reading, reading.everywhere))

    def covers(self, reading: Reading) -> int:
        """The words of every place where the text says so, the longest from each first word."""
        if not self.found(reading):
            return 0
        covered = 0
        for start in range(len(reading.words)):
            if not covered >> start & 1 and (ends := follow(self.elements, reading, 1 << start)):
                covered |= (1 << ends.bit_length() - 1) - (1 << start)
        return covered


def follow(elements: Sequence[Element], reading: Reading, at: int) -> int:
    for element in elements:
        at = element(reading, at)
        if not at:
            break
    return at


def parse(text: str, grammar: Grammar, inside: tuple[str, ...] = ()) -> Phrase:
    """ValueError: what is wrong with it. inside: the lists that this phrase is in, for a list that holds itself."""
    parts = text.split()
    if not parts:
        raise ValueError("is empty")
    if parts[0] == ".." or parts[-1] == ".." or all(part.endswith("?") for part in parts):
        raise ValueError("has to begin and end with a word: '..' stands between two, and '?' may be none")
    elements = tuple(_element(part, grammar, inside) for part in parts)
    return Phrase(text, elements, "<PERSON>" in text)


def _element(part: str, grammar: Grammar, inside: tuple[str, ...]) -> Element:
    if part == "..":
        return _gap(grammar.longest, frozenset(grammar.not_over))
    if part.endswith("?"):
        element = _element(part[:-1], grammar, inside)
        return lambda reading, at: at | element(reading, at)
    if "|" in part:
        several = [_element(one, grammar, inside) for one in part.split("|")]
        return lambda reading, at: _union(element(reading, at) for element in several)
    if part == "<Name>":
        return _name(frozenset(grammar.not_names))
    if part == "<PERSON>":
        if inside:
            raise ValueError("has <PERSON>, which stands in a rule's own phrases, not in lists")
        return lambda reading, at: _union((at >> start & 1) << end for start, end in reading.people)
    if number := re.fullmatch(r"<(\d+)-(\d+)>", part):
        low, high = int(number[1]), int(number[2])
        return lambda reading, at: (at & reading.numbers(low, high)) << 1
    if part.startswith("{") and part.endswith("}"):
        return _list(part[1:-1], grammar, inside)
    if re.fullmatch(r"[a-z0-9]{2,}\*", part):
        return lambda reading, at: (at & reading.prefix(part[:-1])) << 1
    if _is_word(part):
        return lambda reading, at: (at & reading.word(part)) << 1
    raise ValueError(
        f"has '{part}': a word has lower-case letters and digits only (a sign parts words: write 'see through'), "
        "or write a|b, a?, ab*, .., {list}, <0-17>, <Name> or <PERSON>"
    )


def _list(name: str, grammar: Grammar, inside: tuple[str, ...]) -> Element:
    if name not in grammar.lists:
        raise ValueError(f"asks for the list {{{name}}}, and [words] has {', '.join(grammar.lists) or 'none'}")
    if name in inside:
        raise ValueError(f"asks for the list {{{name}}}, which is inside itself")
    phrases = [parse(text, grammar, (*inside, name)) for text in grammar.lists[name]]
    words = frozenset(phrase.text for phrase in phrases if _is_word(phrase.text))
    longer = [phrase.elements for phrase in phrases if not _is_word(phrase.text)]
    return lambda reading, at: _union(
        ((at & reading.any_of(words)) << 1, *(follow(elements, reading, at) for elements in longer))
    )


def _is_word(part: str) -> bool:
    return bool(re.fullmatch(r"[a-z0-9]+", part))


def _gap(longest: int, not_over: frozenset[str]) -> Element:
    def gap(reading: Reading, at: int) -> int:
        passable = reading.everywhere & ~reading.ends & ~reading.any_of(not_over)
        reached = at
        for _ in range(longest):
            at = (at & passable) << 1
            reached |= at
        return reached & ~reading.ends

    return gap


def _name(not_names: frozenset[str]) -> Element:
    def name(reading: Reading, at: int) -> int:
        names = reading.capitals & ~reading.any_of(not_names)
        reached = 0
        for _ in range(3):
            at = (at & names) << 1
            reached |= at
        return reached

    return name


def _union(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)
