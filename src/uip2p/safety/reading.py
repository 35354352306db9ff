"""A text as phrases are looked for in it: words, each in the forms that it may be meant in, and where each form stands.

Sets of positions are bit masks (Python integers): to follow a phrase through a text of 2,000 words is a handful of
shifts, whatever its words are, so that no text can be made that takes long.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from operator import or_

# Letters of other alphabets that look like these; what NFKC unites (full width, mathematical letters) is not here.
LOOKALIKES = str.maketrans("аеорсухіјѕԁһмтквнАЕОРСУХІЈЅМТКВНαεορυικντıΑΕΟΡΥΙΚΝΤ‘’`´", "aeopcyxijsdhmtkbhAEOPCYXIJSMTKBHaeopuikvtiAEOPYIKNT''''")
LEET = str.maketrans("013457@$!|", "oieastasil")
_WORD = re.compile(r"[^\W_]+(?:[@$!|]+[^\W_]+)*(?:'[^\W_]+)?|[@$][^\W_]+")
_CHUNK = re.compile(r"[^\s,;:]+")
_STOP = re.compile(r"[.!?;:]+(?=\s|$)|\n")
_REPEATED = re.compile(r"(.)\1{2,}")

People = Callable[[str], list[tuple[int, int]]]  # text → spans of characters that name a person


@dataclass(frozen=True, slots=True)
class Word:
    """text[start:end]. forms: what it may be meant as, in lower case. opens: it is the first of its sentence."""

    start: int
    end: int
    forms: frozenset[str]
    capital: bool = False
    opens: bool = False


class Reading:
    """One way to cut a text into words. Bit i of a mask is the place before word i; bit `len(words)` is the end."""

    def __init__(self, text: str, words: list[Word], people: People | None = None):
        self.text, self.words, self._people = text, words, people
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
        words = [replace(w, forms=frozenset(), capital=False) if hidden >> i & 1 else w for i, w in enumerate(self.words)]
        return Reading(self.text, words, self._people)

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
        spans = self._people(self.text) if self._people else []
        found = []
        for start, end in spans:
            inside = [i for i, word in enumerate(self.words) if word.start < end and start < word.end]
            if inside and all(self.words[i].forms for i in inside):
                found.append((inside[0], inside[-1] + 1))
        return found


def readings(text: str, people: People | None = None) -> list[Reading]:
    """The text cut at every sign, and, where that differs, with signs inside words left out: "un-dress" is "undress".

    people: finds persons' names; asked at most once.
    """
    text = clean(text)
    find = lru_cache(maxsize=1)(people) if people else None
    stops = [stop.end() for stop in _STOP.finditer(text)]
    cuts = [[(m.start(), m.end(), m.group()) for m in _WORD.finditer(text)]]
    whole = [(m.start(), m.end(), re.sub(r"[^\w@$!|']|_", "", m.group())) for m in _CHUNK.finditer(text)]
    cuts.append([(start, end, word.strip("!|'")) for start, end, word in whole if word.strip("!|'")])
    if [word for *_, word in cuts[0]] == [word for *_, word in cuts[1]]:
        cuts.pop()
    return [Reading(text, _spelt_out(_words(cut, stops)), find) for cut in cuts]


def clean(text: str) -> str:
    """As a person sees it: compatible letters united, accents, invisible and lookalike characters gone, one space
    between words."""
    text = unicodedata.normalize("NFKC", text)
    kept = []
    for character in unicodedata.normalize("NFD", text):
        kind = unicodedata.category(character)
        if kind in ("Cc", "Zs", "Zl", "Zp"):
            kept.append("\n" if character == "\n" else " ")
        elif kind not in ("Cf", "Mn", "Me"):
            kept.append(character)
    return re.sub(r" *\n[ \n]*", "\n", re.sub(r" +", " ", "".join(kept).translate(LOOKALIKES))).strip()


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


def _words(cut: list[tuple[int, int, str]], stops: list[int]) -> list[Word]:
    words, waiting = [], iter(stops)
    stop = next(waiting, None)
    opens = True
    for start, end, word in cut:
        while stop is not None and stop <= start:
            opens, stop = True, next(waiting, None)
        words.append(Word(start, end, forms(word), word[:1].isupper() and len(word) > 1, opens))
        opens = False
    return words


def _spelt_out(words: list[Word]) -> list[Word]:
    """Three single letters in a row or more are one word, which may be any part of what they spell."""
    out: list[Word] = []
    run: list[Word] = []
    for word in [*words, None]:
        if word is not None and word.end - word.start == 1:
            run.append(word)
            continue
        if len(run) > 2:
            spelt = "".join(min(letter.forms & _SINGLE or letter.forms) for letter in run)
            parts = {spelt[i : i + n] for n in range(4, 13) for i in range(len(spelt) - n + 1)}
            out.append(Word(run[0].start, run[-1].end, frozenset(parts | forms(spelt)), opens=run[0].opens))
        else:
            out += run
        run = []
        if word is not None:
            out.append(word)
    return out


_SINGLE = frozenset("abcdefghijklmnopqrstuvwxyz")
