"""A text as phrases are looked for in it: words, each in the forms that it may be meant in, and where each form stands.

Sets of positions are bit masks (Python integers): to follow a phrase through a text of 2,000 words is a handful of
shifts, whatever its words are, so that no text can be made that takes long.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from itertools import accumulate, groupby
from operator import or_

ENCODED = 80  # words: CLIP's 77 tokens hold no more, so a name after them is not edited in either
# Letters of other alphabets that look like these; what NFKC unites (full width, mathematical letters) is not here.
LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһмтквнАЕОРСУХІЈЅМТКВН" + "αεορυικντıΑΕΟΡΥΙΚΝΤ" + "‘’`´",
    "aeopcyxijsdhmtkbhAEOPCYXIJSMTKBH" + "aeopuikvtiAEOPYIKNT" + "''''",
)
LEET = str.maketrans("013457@$!|", "oieastasil")
_WORD = re.compile(r"[^\W_]+(?:[@$!|]+[^\W_]+)*(?:'[^\W_]+)?|[@$][^\W_]+")
_CHUNK = re.compile(r"[^\s,;:]+")
_SIGN = re.compile(r"[^\w@$!|']|_")
_STOP = re.compile(r"[.!?;:]+(?=\s|$)|\n")
_REPEATED = re.compile(r"(.)\1{2,}")

People = Callable[[str], list[tuple[int, int]]]  # text → spans of characters that name a person


@dataclass(frozen=True, slots=True)
class Word:
    """text: as it stands there. forms: what it may be meant as, in lower case. opens: its sentence begins with it."""

    text: str
    forms: frozenset[str]
    capital: bool = False
    opens: bool = False


class Reading:
    """One way to cut a text into words. Bit i of a mask is the place before word i; bit `len(words)` is the end."""

    def __init__(self, words: list[Word], people: People | None = None):
        self.words, self._people = words, people
        self._prefixes: dict[str, int] = {}
        self._any_of: dict[frozenset[str], int] = {}
        self.forms: dict[str, int] = {}
        self.ends = 0  # sentences end before these words: a gap does not go on over them
        for i, word in enumerate(words):
            self.ends |= word.opens << i
            for form in word.forms:
                self.forms[form] = self.forms.get(form, 0) | 1 << i

    def without(self, hidden: int) -> Reading:
        """The same, where the words under `hidden` are no words that anything looks for."""
        none = Word("", frozenset())
        return Reading([none if hidden >> i & 1 else word for i, word in enumerate(self.words)], self._people)

    @property
    def everywhere(self) -> int:
        return (1 << len(self.words)) - 1

    def word(self, form: str) -> int:
        """Where this word stands."""
        return self.forms.get(form, 0)

    def any_of(self, forms: frozenset[str]) -> int:
        """Where one of these words stands."""
        if forms not in self._any_of:
            self._any_of[forms] = reduce(or_, (self.word(form) for form in forms), 0)
        return self._any_of[forms]

    def prefix(self, start: str) -> int:
        """Where a word stands that begins so."""
        if start not in self._prefixes:
            mask = 0
            for form, places in self.forms.items():
                if form.startswith(start):
                    mask |= places
            self._prefixes[start] = mask
        return self._prefixes[start]

    def numbers(self, low: int, high: int) -> int:
        """Where a whole number from low to high stands, in digits."""
        mask = 0
        for number in range(low, high + 1):
            mask |= self.word(str(number))
        return mask

    @cached_property
    def capitals(self) -> int:
        """Where a word has a capital letter that its sentence does not ask for."""
        return sum(1 << i for i, word in enumerate(self.words) if word.capital and not word.opens)

    @cached_property
    def people(self) -> list[tuple[int, int]]:
        """First word and the one after the last, of each person that the text names; none where nobody looks."""
        words = self.words[:ENCODED]
        if self._people is None or not any(word.capital for word in words):
            return []
        starts = list(accumulate((len(word.text) + 1 for word in words), initial=0))
        found = []
        for start, end in self._people(" ".join(word.text for word in words)):
            inside = [i for i, word in enumerate(words) if starts[i] < end and start < starts[i + 1] - 1]
            if inside and all(words[i].forms for i in inside):
                found.append((inside[0], inside[-1] + 1))
        return found


def readings(text: str, people: People | None = None) -> list[Reading]:
    """A clean text cut at every sign, and, where that differs, with signs inside words left out: "un-dress" is
    "undress". people: finds persons' names."""
    stops = [stop.end() for stop in _STOP.finditer(text)]
    at_signs = [(found.start(), found.group()) for found in _WORD.finditer(text)]
    chunks = [(found.start(), _SIGN.sub("", found.group()).strip("!|'")) for found in _CHUNK.finditer(text)]
    joined = [(start, word) for start, word in chunks if word]
    cuts = [at_signs] if [word for _, word in at_signs] == [word for _, word in joined] else [at_signs, joined]
    return [Reading(_spelt_out(_words(cut, stops)), people) for cut in cuts]


def clean(text: str) -> str:
    """As a person sees it: compatible letters united, accents, invisible and lookalike characters gone, one space
    between words."""
    text = text if text.isascii() else unicodedata.normalize("NFKD", text)
    text = text.translate({ord(character): _plain(character) for character in set(text)}).translate(LOOKALIKES)
    return re.sub(r" *\n[ \n]*", "\n", re.sub(r" +", " ", text)).strip()


def _plain(character: str) -> str:
    """A blank for all that parts words, nothing for what is not seen or sits on a letter, else the character."""
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zs", "Zl", "Zp"):
        return "\n" if character == "\n" else " "
    return "" if kind in ("Cf", "Mn", "Me") else character


@lru_cache(maxsize=4096)
def forms(word: str) -> frozenset[str]:
    """What a word may be meant as: "Nud3s" is nud3s, nudes, nude."""
    word = word.casefold().removesuffix("'s").replace("'", "")
    found = {word}
    if not word.isalpha() and not word.isdigit():
        found |= {word.translate(LEET), word.replace("1", "l").translate(LEET)}
    found |= {short for form in tuple(found) for short in (_REPEATED.sub(r"\1", form), _REPEATED.sub(r"\1\1", form))}
    found |= {one for form in tuple(found) for one in _singulars(form)}
    return frozenset(found)


def _singulars(word: str) -> Iterable[str]:
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return
    yield word[:-1]
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("ies"):
        yield word[:-3] + "y"


def _words(cut: list[tuple[int, str]], stops: list[int]) -> list[Word]:
    """cut: where each word begins, and the word. stops: where sentences have ended."""
    words, last = [], -1
    for start, text in cut:
        sentence = bisect_right(stops, start)
        words.append(Word(text, forms(text), text[0].isupper() and len(text) > 1, sentence != last))
        last = sentence
    return words


def _spelt_out(words: list[Word]) -> list[Word]:
    """Three single letters in a row or more are one word, which may be any part of what they spell."""
    out: list[Word] = []
    for single, group in groupby(words, lambda word: len(word.text) == 1):
        run = list(group)
        if single and len(run) > 2:
            spelt = "".join(word.text for word in run).casefold().translate(LEET)
            parts = {spelt[i : i + n] for n in range(4, 13) for i in range(len(spelt) - n + 1)}
            run = [Word(spelt, frozenset(parts | forms(spelt)), opens=run[0].opens)]
        out += run
    return out
