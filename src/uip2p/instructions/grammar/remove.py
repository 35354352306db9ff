"""Taking a thing away, where the caption names it in a phrase of its own and is fluent and true without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import Scene, Thing, holder, named, owner, possessive
from uip2p.instructions.grammar.tables import words
from uip2p.instructions.grammar.text import cut, listed
from uip2p.instructions.grammar.together import one_of_many, pair

PAIRS = listed("sunglasses glasses goggles gloves headphones earphones mittens earmuffs wings beads earrings jewelry")
BODY = re.compile(r" (in|on|over|around) (?:its|his|her|their) (mouths?|hands?|head|back|face|neck|shoulders?|lap|"
                  r"arms|teeth)\b", re.I)
TAIL = re.compile(r" (?:in the (?:background|distance|foreground|sky)|on (?:top of )?it|(?:next to|beside|behind) "
                  r"(?:it|him|her|them))\b", re.I)
BESIDE = re.compile(r"\b(next to|beside|near|by|in front of|behind) $", re.I)
# What one who is in front of it has in front of oneself.
FACED = listed("computer laptop tv television desk table monitor mirror piano keyboard oven stove sink plate fire "
               "campfire microphone")
ACROSS = {"in front of": "behind", "behind": "in front of", "by": "next to", "near": "near", "beside": "beside",
    "next to": "next to"}



def drafts(seen: Scene, draw: Random) -> list[Draft]:
    """Worn and held things, things beside and behind others, and the second of a pair."""
    found: list[Draft] = []
    for thing in seen.things:
        for way in (_borne, _beside, _tail, pair, one_of_many):
            found += way(seen, thing, draw)
    return found


def _plain(seen: Scene, thing: Thing, tail: int = 0) -> bool:
    """Whether nothing that follows hangs on the thing: no "that is red", no "of flowers", no "'s", no later "it"."""
    token = seen.doc[thing.head]
    after = seen.low[thing.end + tail :]
    if re.match(r" ?(?:'s?\b|’|-|that\b|which\b|who\b|of\b|made\b|to\b|for\b|from\b|full\b|with (?:the|its|his|"
                r"her)\b|and\b|or\b|where\b|attached\b|both\b|each\b|as they\b|/)", after.lstrip(" ")):
        return False
    if (re.search(r"\b(?:it|them|one|which)\b", after) or (re.search(r"\bits?\b", after)
        and not any(t.animal for t in seen.things if t is not thing))):
        return False
    if (not tail
        and re.match(r" (?:in|on|over|around|from|at|next to|beside|behind) (?:its|his|her|their|it|him|them)\b",
        after)) or (not tail and TAIL.match(after)):
        return False
    following = seen.doc[token.i + 1] if token.i + 1 < len(seen.doc) else None
    if not tail and following is not None and (following.dep_ == "prt"
        or (following.pos_ in ("ADP", "PART", "ADV") and (
        following.n_rights == 0 and following.lower_ in ("on", "in", "off", "up", "down", "over", "out",
        "around")))):  # fmt: skip
        return False
    for child in token.rights:
        if child.dep_ in ("relcl", "acl", "appos", "amod") and child.idx >= thing.end + tail:
            return False
    return not any(child.dep_ in ("conj", "cc") for child in token.rights)


def _reference(seen: Scene, thing: Thing, whose: Thing | None, draw: Random) -> str:
    """"the hat", "the man's hat" or "the red hat"."""
    plain = seen.refer(thing)
    if whose is not None and (reference := seen.refer(whose)):
        owned = f"{possessive(reference)} {thing.name}"
        return draw.choice([plain, owned]) if plain and len([t for t in seen.things if t.person]) < 2 else owned
    return plain


def _borne(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"wearing a hat", "in a hat", "with a ball in its mouth", "holding a camera": alone, or one of two."""
    token = seen.doc[thing.head]
    whose = owner(seen, thing)
    if whose is None or not (whose.person or whose.animal) or not seen.refer(whose):
        return
    if any(c.dep_ == "conj" for c in seen.doc[whose.head].rights) and seen.doc[thing.head].head.i != whose.head + 1:
        return
    if (thing.det == "few" or seen.modifiers(thing).split()[:1] in (["matching"], ["same"], ["other"])
        or thing.name in ("home plate", "license plate")):
        return
    worn = thing.known(words("things", "worn") if whose.person else words("things", "animal_worn"))
    held = thing.known(words("things", "held"))
    first = token.head if token.dep_ == "conj" else token
    link = first.head
    if (thing.one == "leash" and seen.has("held", "walking", "walks", "pulled", "pulls", "tied", "leads",
        "holding", "holds", "leading", "pulling")):
        return
    body = BODY.match(seen.text, thing.end)
    tail = len(body.group()) if body else 0
    if (thing.plural != whose.plural and thing.name not in PAIRS) or (whose.plural and not thing.plural):
        return
    verb = link.lower_
    if not ((worn and verb in ("wearing", "in", "with")) or (held and verb in ("holding", "carrying", "with"))):
        return
    if (held and not worn and whose.animal and not tail and thing.one.split()[-1] not in ("ball", "stick",
        "frisbee", "bone", "toy", "rope")):
        return
    if verb == "with" and (link.head.tag_ == "VBN" or any(c.lower_ == "with" for c in token.rights)):
        return
    if (re.match(r" (?:while|whilst|as|when|before|after)\b", seen.low[thing.end + tail :])
        and not any(t.pos_ in ("VERB", "AUX") for t in seen.doc[: link.i])):
        return
    if (re.match(r" (?:at|in|on) (?:feet|mouth|hands?|head|back)\b", seen.low[thing.end :])
        or (worn and any(c.lower_ == "with" for c in token.rights))):
        return
    if link.pos_ in ("VERB", "AUX") and link.dep_ not in ("acl", "advcl"):
        return
    partner = next((c for c in token.rights if c.dep_ == "conj"), None)
    if token.dep_ == "conj":
        joint = next((c for c in first.rights if c.dep_ == "cc" and c.i < token.i), None)
        if (joint is None or joint.lower_ != "and" or "," in seen.text[joint.idx - 2 : joint.idx]
            or not _plain(seen, thing, tail) or sum(c.dep_ == "conj" for c in first.rights) != 1):
            return
        edited = cut(seen.text, joint.idx, thing.end + tail)
    elif partner is not None:
        other = seen.at(partner.i)
        joint = next((c for c in token.rights if c.dep_ == "cc"), None)
        if (other is None or joint is None or tail
            or seen.text[thing.end : other.start].strip().lower() != "and"
            or (seen.doc[other.head].n_rights and any(c.dep_ == "conj" for c in partner.rights))):
            return
        edited = cut(seen.text, thing.start, other.start)
    else:
        if not _plain(seen, thing, tail):
            return
        begin = link.idx
        before = seen.doc[link.i - 1] if link.i else None
        if before is not None and before.lower_ in ("and", "while", "is", "are", "while"):
            return
        if seen.text[begin : thing.start].split() != [link.text]:
            return
        if (not worn and verb == "with" and before is not None and before.pos_ in ("NOUN", "PROPN")
            and before.i != whose.head):
            return
        edited = cut(seen.text, begin, thing.end + tail)
    new, reference = named(seen, thing), seen.refer(whose)
    thing_called = _reference(seen, thing, whose, draw)
    if not thing_called:
        return
    if body and not worn:
        reverse = Asked("add", new=new, where=f"{body[1].lower()} {possessive(reference)} {body[2].lower()}")
    else:
        reverse = Asked("give", manner="worn" if worn else "held" if whose.person else "", owner=reference, new=new)
    yield Draft("remove", Asked("remove", manner="worn" if worn else "", thing=thing_called), edited, reverse,
        thing.one)


def _beside(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"A man stands next to a bicycle" -> "A man stands"."""
    match = BESIDE.search(seen.text[: thing.start])
    reference = seen.refer(thing)
    if thing.det == "few" or thing.name in ("home plate", "license plate"):
        return
    if (match is None or not reference or not thing.known(words("things", "beside") | words("things",
        "animals")) or not _plain(seen, thing)):
        return
    token = seen.doc[thing.head]
    if token.dep_ != "pobj":
        return
    before = next((t for t in reversed(seen.doc) if t.idx < match.start()), None)
    if (before is None or before.pos_ not in ("VERB", "NOUN")
        or before.lower_ in ("walks", "walking", "rides", "riding", "passing", "background")):
        return
    verb = before
    while verb.pos_ != "VERB" and verb.head.i != verb.i:
        verb = verb.head
    anchor = holder(seen, verb)  # who stands there, or else what the phrase follows
    if anchor is None or not (anchor.person or anchor.animal):
        anchor = seen.at(before.i)
        if anchor is None or not anchor.known(words("things", "beside")):
            return
    following = next((t for t in seen.doc if t.idx >= thing.end), None)
    if before.tag_ == "VBG" and following is not None and following.tag_ in ("VBZ", "VBP", "VBD", "MD"):
        return
    if anchor is None or anchor is thing or not (where := seen.refer(anchor)) or anchor.end > match.start():
        return
    if (match[1].lower() == "by" and before.lower_ not in ("standing", "sitting", "stands", "sits", "lying",
        "sit", "stand", "parked", "resting", "waiting", "posing")):
        return
    edited = cut(seen.text, match.start(), thing.end)
    yield Draft("remove", Asked("remove", thing=reference), edited,
                Asked("add", new=named(seen, thing), where=f"{ACROSS[match[1].lower()]} {where}"),
                thing.one)  # fmt: skip


def _tail(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"… with a boat in the background", "a table with a vase on it"."""
    tail = TAIL.match(seen.text, thing.end)
    link = re.search(r",? ?\bwith $", seen.text[: thing.start])
    reference = seen.refer(thing)
    if (tail is None or link is None or not reference or not thing.known(words("things",
        "beside") | words("things", "animals") | {"mountains", "trees", "houses", "boats", "cars", "buildings"})):
        return
    if not _plain(seen, thing, len(tail.group())) or thing.start - link.start() < 5:
        return
    where = tail.group().strip().lower()
    if where.split()[-1] in ("him", "her", "them"):
        people = [t for t in seen.things if t.person and t.start < thing.start]
        if len(people) != 1 or not (called := seen.refer(people[0])):
            return
        where = re.sub(r"\w+$", called, where)
    elif where.split()[-1] == "it":
        base = next((t for t in reversed(seen.things) if t.end <= link.start()), None)
        if (base is None or (base.end != link.start() and seen.text[base.end : link.start()].strip())
            or not (called := seen.refer(base))):
            return
        where = re.sub(r"\w+$", called, where)
    edited = cut(seen.text, link.start(), tail.end())
    yield Draft("remove", Asked("remove", thing=reference), edited,
        Asked("add", new=named(seen, thing), where=where), thing.one)
