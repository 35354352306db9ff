"""Taking a thing away, where the caption names it in a phrase of its own and is fluent and true without it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from random import Random

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import Scene, Thing, holder, owner, possessive
from uip2p.instructions.grammar.tables import words
from uip2p.instructions.grammar.text import a, cut, singular_verb

PAIRS = frozenset("sunglasses glasses goggles gloves headphones earphones mittens earmuffs wings beads earrings jewelry".split())
BODY = re.compile(r" (in|on|over|around) (?:its|his|her|their) (mouths?|hands?|head|back|face|neck|shoulders?|lap|arms|teeth)\b", re.I)
TAIL = re.compile(r" (?:in the (?:background|distance|foreground|sky)|on (?:top of )?it|(?:next to|beside|behind) (?:it|him|her|them))\b", re.I)
BESIDE = re.compile(r"\b(next to|beside|near|by|in front of|behind) $", re.I)
ACROSS = {"in front of": "behind", "behind": "in front of", "by": "next to", "near": "near", "beside": "beside", "next to": "next to"}
TOGETHER = frozenset("their them they together both each other others one two who which that another while apart same between".split())
MUTUAL = frozenset("play fight wrestle kiss talk meet hug race chase embrace dance tug shake share converse compete argue marry face stare look".split())


def drafts(seen: Scene, draw: Random) -> list[Draft]:
    """Worn and held things, things beside and behind others, and the second of a pair."""
    found: list[Draft] = []
    for thing in seen.things:
        for way in (_borne, _beside, _tail, _pair, _listed):
            found += way(seen, thing, draw)
    return found


def named(seen: Scene, thing: Thing) -> str:
    """What is to be given for it to be there again: "a red hat", "two dogs", "sunglasses"."""
    rest = " ".join(seen.low[thing.middle : thing.end].split())
    if thing.det in ("a", "an", "") or thing.det in ("the", "his", "her", "its", "their", "another", "this"):
        mass = thing.det == "" and not thing.plural and thing.known(words("things", "mass"))
        return rest if thing.plural or mass else a(rest)
    return " ".join(seen.low[thing.start : thing.end].split())


def _plain(seen: Scene, thing: Thing, tail: int = 0) -> bool:
    """Whether nothing that follows hangs on the thing: no "that is red", no "of flowers", no "'s", no later "it"."""
    token = seen.doc[thing.head]
    after = seen.low[thing.end + tail :]
    if re.match(r" ?(?:'s?\b|’|-|that\b|which\b|who\b|of\b|made\b|to\b|for\b|from\b|full\b|with (?:the|its|his|her)\b|and\b|or\b|where\b|attached\b|both\b|each\b|as they\b|/)", after.lstrip(" ")):
        return False
    if re.search(r"\b(?:it|them|one|which)\b", after) or re.search(r"\bits?\b", after) and not any(t.animal for t in seen.things if t is not thing):
        return False
    if not tail and re.match(r" (?:in|on|over|around|from|at|next to|beside|behind) (?:its|his|her|their|it|him|them)\b", after) or not tail and TAIL.match(after):
        return False
    following = seen.doc[token.i + 1] if token.i + 1 < len(seen.doc) else None
    if not tail and following is not None and (following.dep_ == "prt" or following.pos_ in ("ADP", "PART", "ADV") and (
        following.n_rights == 0 and following.lower_ in ("on", "in", "off", "up", "down", "over", "out", "around"))):  # fmt: skip
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
    """"wearing a hat", "in a hat", "with a ball in its mouth", "holding a camera": worn or held, alone or one of two."""
    token = seen.doc[thing.head]
    whose = owner(seen, thing)
    if whose is None or not (whose.person or whose.animal) or not seen.refer(whose):
        return
    if any(c.dep_ == "conj" for c in seen.doc[whose.head].rights) and seen.doc[thing.head].head.i != whose.head + 1:
        return
    if thing.det == "few" or seen.modifiers(thing).split()[:1] in (["matching"], ["same"], ["other"]) or thing.name in ("home plate", "license plate"):
        return
    worn = thing.known(words("things", "worn") if whose.person else words("things", "animal_worn"))
    held = thing.known(words("things", "held"))
    first = token.head if token.dep_ == "conj" else token
    link = first.head
    if thing.one == "leash" and seen.has("held", "walking", "walks", "pulled", "pulls", "tied", "leads", "holding", "holds", "leading", "pulling"):
        return
    body = BODY.match(seen.text, thing.end)
    tail = len(body.group()) if body else 0
    if thing.plural != whose.plural and thing.name not in PAIRS or whose.plural and not thing.plural:
        return
    verb = link.lower_
    if not (worn and verb in ("wearing", "in", "with") or held and verb in ("holding", "carrying", "with")):
        return
    if held and not worn and whose.animal and not tail and thing.one.split()[-1] not in ("ball", "stick", "frisbee", "bone", "toy", "rope"):
        return
    if verb == "with" and (link.head.tag_ == "VBN" or any(c.lower_ == "with" for c in token.rights)):
        return
    if re.match(r" (?:while|whilst|as|when|before|after)\b", seen.low[thing.end + tail :]) and not any(t.pos_ in ("VERB", "AUX") for t in seen.doc[: link.i]):
        return
    if re.match(r" (?:at|in|on) (?:feet|mouth|hands?|head|back)\b", seen.low[thing.end :]) or worn and any(c.lower_ == "with" for c in token.rights):
        return
    if link.pos_ in ("VERB", "AUX") and link.dep_ not in ("acl", "advcl"):
        return
    partner = next((c for c in token.rights if c.dep_ == "conj"), None)
    if token.dep_ == "conj":
        joint = next((c for c in first.rights if c.dep_ == "cc" and c.i < token.i), None)
        if joint is None or joint.lower_ != "and" or "," in seen.text[joint.idx - 2 : joint.idx] or not _plain(seen, thing, tail) or sum(c.dep_ == "conj" for c in first.rights) != 1:
            return
        edited = cut(seen.text, joint.idx, thing.end + tail)
    elif partner is not None:
        other = seen.at(partner.i)
        joint = next((c for c in token.rights if c.dep_ == "cc"), None)
        if other is None or joint is None or tail or seen.text[thing.end : other.start].strip().lower() != "and" or seen.doc[other.head].n_rights and any(c.dep_ == "conj" for c in partner.rights):
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
        if not worn and verb == "with" and before is not None and before.pos_ in ("NOUN", "PROPN") and before.i != whose.head:
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
    yield Draft("remove", Asked("remove", manner="worn" if worn else "", thing=thing_called), edited, reverse, thing.one)


def _beside(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"A man stands next to a bicycle" -> "A man stands"."""
    match = BESIDE.search(seen.text[: thing.start])
    reference = seen.refer(thing)
    if thing.det == "few" or thing.name in ("home plate", "license plate"):
        return
    if match is None or not reference or not thing.known(words("things", "beside") | words("things", "animals")) or not _plain(seen, thing):
        return
    token = seen.doc[thing.head]
    if token.dep_ != "pobj":
        return
    before = next((t for t in reversed(seen.doc) if t.idx < match.start()), None)
    if before is None or before.pos_ not in ("VERB", "NOUN") or before.lower_ in ("walks", "walking", "rides", "riding", "passing", "background"):
        return
    anchor = seen.at(before.i)
    if anchor is None or not (anchor.person or anchor.known(words("things", "beside") | words("things", "animals"))):
        verb = before
        while verb.pos_ != "VERB" and verb.head.i != verb.i:
            verb = verb.head
        anchor = holder(seen, verb)
        if anchor is None or not (anchor.person or anchor.animal):
            return
    if anchor is None or anchor is thing or not (where := seen.refer(anchor)) or anchor.end > match.start():
        return
    if match[1].lower() == "by" and before.lower_ not in ("standing", "sitting", "stands", "sits", "lying", "sit", "stand", "parked", "resting", "waiting", "posing"):
        return
    edited = cut(seen.text, match.start(), thing.end)
    yield Draft("remove", Asked("remove", thing=reference), edited,
                Asked("add", new=named(seen, thing), where=f"{ACROSS[match[1].lower()]} {where}"), thing.one)  # fmt: skip


def _tail(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"… with a boat in the background", "a table with a vase on it"."""
    tail = TAIL.match(seen.text, thing.end)
    link = re.search(r",? ?\bwith $", seen.text[: thing.start])
    reference = seen.refer(thing)
    if tail is None or link is None or not reference or not thing.known(words("things", "beside") | words("things", "animals") | {"mountains", "trees", "houses", "boats", "cars", "buildings"}):
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
        if base is None or base.end != link.start() and seen.text[base.end : link.start()].strip() or not (called := seen.refer(base)):
            return
        where = re.sub(r"\w+$", called, where)
    edited = cut(seen.text, link.start(), tail.end())
    yield Draft("remove", Asked("remove", thing=reference), edited, Asked("add", new=named(seen, thing), where=where), thing.one)


def _pair(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """"A man and a dog are walking" -> "A man is walking"."""
    token = seen.doc[thing.head]
    if token.dep_ != "conj" or token.n_rights and any(c.dep_ not in ("punct",) and c.i < token.i + 2 for c in token.rights):
        return
    first = seen.at(token.head.i)
    if first is None or first.head == thing.head or not (thing.person or thing.animal):
        return
    joint = seen.text[first.end : thing.start]
    if joint.strip().lower() != "and" or set(re.findall(r"[a-z]+", seen.low[thing.end :])) & TOGETHER or seen.doc[first.head].dep_ not in ("nsubj", "ROOT"):
        return
    if sum(c.dep_ == "conj" for c in seen.doc[first.head].rights) != 1 or not first.det or not thing.det or thing.det != first.det and first.plural and not thing.plural and thing.person:
        return
    if any(t.plural and t is not thing and t is not first and not t.det for t in seen.things):
        return
    verb = seen.doc[first.head].head
    if _lemma(verb.lower_) in MUTUAL or any(_lemma(c.lower_) in MUTUAL for c in verb.children):
        return
    gone, stay = seen.refer(thing), seen.refer(first)
    if not gone or not stay or verb.n_rights and any(c.dep_ == "attr" for c in verb.rights):
        return
    text = cut(seen.text, first.end, thing.end)
    if not first.plural and seen.doc[first.head].dep_ == "nsubj":
        shift = len(text) - len(seen.text)
        for word in sorted(_finite(verb), key=lambda t: -t.i):
            at = word.idx + shift
            text = text[:at] + singular_verb(word.text) + text[at + len(word) :]
    new = named(seen, thing)
    yield Draft("remove", Asked("remove", thing=gone), text, Asked("add", new=new, where=f"next to {stay}"), thing.one)


def _listed(seen: Scene, thing: Thing, draw: Random) -> Iterator[Draft]:
    """One of "a stove , a sink and a refrigerator"."""
    token = seen.doc[thing.head]
    first = token
    while first.dep_ in ("conj", "appos") and first.head.pos_ in ("NOUN", "PROPN"):
        first = first.head
    link = first.head
    if first.dep_ != "pobj" or link.lower_ not in ("with", "of", "has") or not (reference := seen.refer(thing)) or not thing.known(words("things", "beside")):
        return
    heads, last = [first], first
    while (following := next((c for c in last.rights if c.dep_ in ("conj", "appos")), None)) is not None:
        heads.append(following)
        last = following
    members = [m for h in heads if (m := seen.at(h.i)) is not None]
    if seen.modifiers(thing).split()[:1] == ["other"] or len(members) != len(heads) or len(members) < 3 or thing not in members:
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
    yield Draft("remove", Asked("remove", thing=reference), edited, Asked("add", new=named(seen, thing), where=f"to {called}"), thing.one)


def _lemma(verb: str) -> str:
    return re.sub(r"(?:ing|s|es)$", "", verb) + ("e" if re.search(r"(?:danc|rac|chas|embrac|shar|argu|star|fac|comput)ing$", verb) else "")


def _finite(verb) -> list:
    """The words that agree with the subject of a verb: "are" of "are walking", "sit" and "eat" of "sit and eat"."""
    found = []
    for word in (verb, *(c for c in verb.rights if c.dep_ == "conj" and c.pos_ in ("VERB", "AUX"))):
        aux = [c for c in word.lefts if c.dep_ in ("aux", "auxpass")]
        if aux:
            found += [c for c in aux if c.lower_ in ("are", "were", "have", "do")]
        elif word.tag_ in ("VBP", "VB") or word.lower_ in ("are", "have") or word.pos_ == "NOUN" and word.lower_ in words("scene", "verbs"):
            found.append(word)
    return found
