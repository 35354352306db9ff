"""Taking away one of several that are named together: "a man and a dog", "a stove , a sink and a refrigerator"."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from random import Random
from typing import Any

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import Scene, Thing, named
from uip2p.instructions.grammar.tables import words
from uip2p.instructions.grammar.text import cut, listed, singular_verb

TOGETHER = listed("their them they together both each other others one two who which that another while apart same "
                  "between")
MUTUAL = listed("play fight wrestle kiss talk meet hug race chase embrace dance tug shake share converse compete "
                "argue marry face stare look")


def pair(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"A man and a dog are walking" -> "A man is walking"."""
    token = seen.doc[thing.head]
    if (token.dep_ != "conj" or (token.n_rights and any(c.dep_ not in ("punct",) and c.i < token.i + 2
        for c in token.rights))):
        return
    first = seen.at(token.head.i)
    if first is None or first.head == thing.head or not (thing.person or thing.animal):
        return
    joint = seen.text[first.end : thing.start]
    if (joint.strip().lower() != "and" or set(re.findall(r"[a-z]+", seen.low[thing.end :])) & TOGETHER
        or seen.doc[first.head].dep_ not in ("nsubj", "ROOT")):
        return
    if (sum(c.dep_ == "conj" for c in seen.doc[first.head].rights) != 1 or not first.det or not thing.det
        or (thing.det != first.det and first.plural and not thing.plural and thing.person)):
        return
    if any(t.plural and t is not thing and t is not first and not t.det for t in seen.things):
        return
    verb = seen.doc[first.head].head
    if _lemma(verb.lower_) in MUTUAL or any(_lemma(c.lower_) in MUTUAL for c in verb.children):
        return
    gone, stay = seen.refer(thing), seen.refer(first)
    if not gone or not stay or (verb.n_rights and any(c.dep_ == "attr" for c in verb.rights)):
        return
    text = cut(seen.text, first.end, thing.end)
    if not first.plural and seen.doc[first.head].dep_ == "nsubj":
        shift = len(text) - len(seen.text)
        for word in sorted(_finite(verb), key=lambda t: -t.i):
            at = word.idx + shift
            text = text[:at] + singular_verb(word.text) + text[at + len(word) :]
    new = named(seen, thing)
    yield Draft("remove", Asked("remove", thing=gone), text, Asked("add", new=new, where=f"next to {stay}"), thing.one)


def one_of_many(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """One of "a stove , a sink and a refrigerator"."""
    token = seen.doc[thing.head]
    first = token
    while first.dep_ in ("conj", "appos") and first.head.pos_ in ("NOUN", "PROPN"):
        first = first.head
    link = first.head
    if (first.dep_ != "pobj" or link.lower_ not in ("with", "of", "has")
        or not (reference := seen.refer(thing)) or not thing.known(words("things", "beside"))):
        return
    heads, last = [first], first
    while (following := next((c for c in last.rights if c.dep_ in ("conj", "appos")), None)) is not None:
        heads.append(following)
        last = following
    members = [m for h in heads if (m := seen.at(h.i)) is not None]
    if (seen.modifiers(thing).split()[:1] == ["other"] or len(members) != len(heads) or len(members) < 3
        or thing not in members):
        return
    gaps = [seen.text[a.end : b.start] for a, b in itertools.pairwise(members)]
    if any(gap.strip(" ,") for gap in gaps[:-1]) or gaps[-1].strip(" ,").lower() != "and":
        return
    after = seen.low[members[-1].end :]
    if re.match(r" (?:of|that|which|with|in it|on it|for|made|from|to)\b", after) or after[:2] in (" ,", ", "):
        return
    anchor = seen.at(link.head.i)
    if anchor is None or anchor.person or not (called := seen.refer(anchor)) or anchor.end > thing.start:
        return
    names = [seen.text[m.start : m.end] for m in members if m is not thing]
    comma = gaps[0] if len(names) > 2 else ""
    oxford = "," in gaps[-1] and len(names) > 2
    text = (comma or ", ").join(names[:-1]) + (gaps[-1] if oxford else " and ") + names[-1]
    edited = seen.text[: members[0].start] + text + seen.text[members[-1].end :]
    yield Draft("remove", Asked("remove", thing=reference), edited,
        Asked("add", new=named(seen, thing), where=f"to {called}"), thing.one)


def _lemma(verb: str) -> str:
    return re.sub(r"(?:ing|s|es)$", "", verb) + ("e"
        if re.search(r"(?:danc|rac|chas|embrac|shar|argu|star|fac|comput)ing$", verb) else "")


def _finite(verb: Any) -> list[Any]:
    """The words that agree with the subject of a verb: "are" of "are walking", "sit" and "eat" of "sit and eat"."""
    found = []
    for word in (verb, *(c for c in verb.rights if c.dep_ == "conj" and c.pos_ in ("VERB", "AUX"))):
        aux = [c for c in word.lefts if c.dep_ in ("aux", "auxpass")]
        if aux:
            found += [c for c in aux if c.lower_ in ("are", "were", "have", "do")]
        elif (word.tag_ in ("VBP", "VB") or word.lower_ in ("are", "have")
            or (word.pos_ == "NOUN" and word.lower_ in words("scene", "verbs"))):
            found.append(word)
    return found
