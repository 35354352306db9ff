"""Moving a thing: how two things that the caption names stand to each other changes, and both stay in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from uip2p.instructions.grammar.asked import Asked, Draft
from uip2p.instructions.grammar.parse import Scene, Thing, holder, possessive
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import splice

MOUTH = re.compile(r" in (it'?s|his|her|their) mouths?\b", re.I)


def drafts(seen: Scene, draw: Random) -> list[Draft]:
    return [*_mouth(seen, draw), *_related(seen, draw), *_sides(seen)]


def _mouth(seen: Scene, draw: Random) -> Iterator[Draft]:
    """"a dog with a ball in its mouth" -> "a dog with a ball at its feet"."""
    for thing in seen.things:
        match = MOUTH.match(seen.text, thing.end)
        if match is None or not thing.known(words("things", "held")) or not seen.refer(thing):
            continue
        link = re.search(r"\b(with|holding|carrying|carries|holds|has) $", seen.low[: thing.start])
        holders = [t for t in seen.things if t.known(words("move", "mouth", "holders")) and t.end < thing.start]
        if (link is None or link[1] in ("carrying", "carries") or len(holders) != 1
            or not (where := seen.refer(holders[0]))):
            continue
        if (holders[0].plural or seen.has("swimming", "swims", "swim", "air", "jumping", "leaping", "jumps",
            "leaps", "running", "runs", "run", "carrying", "carries", "water", "walking", "walks")):
            continue
        pronoun = "its" if match[1].lower() == "it's" else match[1].lower()
        edited = splice(seen.text, match.start(), match.end(), f" at {pronoun} feet")
        if link[1] in ("holding", "holds"):
            edited = edited[: link.start()] + ("with " if link[1] == "holding" else "has ") + edited[link.end() :]
        reference = seen.refer(thing)
        yield Draft("move", Asked("move", thing=reference, where=f"at {possessive(where)} feet"), edited,
                    Asked("move", thing=reference, where=f"in {possessive(where)} mouth"), thing.one)  # fmt: skip


def _ways() -> list[tuple[str, str]]:
    """(as the caption says it, what it means), the longest first."""
    moves = table("move")
    known = {way for relation in moves["relation"] for way in relation["ways"]}
    said = [(way, way) for way in known] + list(moves["same"].items())
    return sorted(said, key=lambda pair: -len(pair[0]))


def _related(seen: Scene, draw: Random) -> Iterator[Draft]:
    """"A man stands next to a car" -> "A man stands behind a car"."""
    for base in seen.things:
        if (base.plural and base.one not in ("stairs", "steps")) or not seen.refer(base):
            continue
        way = next(((said, way) for said, way in _ways() if re.search(rf"(?:^|\s){said} $",
            seen.low[: base.start])), None)
        if way is None:
            continue
        said, meant = way
        at = base.start - len(said) - 1
        mover = _mover(seen, at, meant)
        if mover is None or not _sure(seen, mover) or mover is base or mover.head > base.head:
            continue
        options = [
            other
            for relation in table("move")["relation"]
            if base.known(frozenset(name for name in relation["base"] if name)) == base.one
            and meant in relation["ways"]
            and (relation.get("who") != "small" or _small(mover))
            for other in relation["ways"]
            if other != meant
        ]  # fmt: skip
        if not options or (reference := seen.refer(mover)) == "":
            continue
        new = draw.choice(options)
        edited = splice(seen.text, at, at + len(said), new)
        called = seen.refer(base)
        yield Draft("move", Asked("move", thing=reference, where=f"{new} {called}"), edited,
                    Asked("move", thing=reference, where=f"{meant} {called}"), mover.one)  # fmt: skip


def _sure(seen: Scene, mover: Thing) -> bool:
    """Whether it is alone in doing what is said: the first of the caption's people and animals, and in no pair."""
    alive = [t for t in seen.things if t.person or t.animal]
    if ((mover.person or mover.animal) and alive[0] is not mover) or mover.name == "others":
        return False
    if any(child.dep_ == "conj" for child in seen.doc[mover.head].rights):
        return False
    return mover.person or mover.animal or mover.name == mover.known(words("things", "beside"))


def _small(mover: Thing) -> bool:
    return mover.one in ("dog", "cat", "puppy", "kitten", "bag", "teddy bear", "suitcase", "backpack", "box",
        "basket", "ball", "toy") and not mover.plural


def _mover(seen: Scene, at: int, meant: str) -> Thing | None:
    """What stands where the preposition at this place says: the noun before it, or who does the verb before it."""
    before = next((t for t in reversed(seen.doc) if t.idx < at), None)
    if before is None:
        return None
    still = words("move", "verbs", "still")
    if before.pos_ == "NOUN":
        thing = seen.at(before.i)
        lonely = (thing is not None and before.dep_ in ("ROOT", "conj", "pobj", "dobj")
            and (before.dep_ == "ROOT" or before.i < 4))
        return thing if lonely and before.dep_ == "ROOT" else None
    if before.pos_ in ("VERB", "AUX") and _stem(before.lower_) in still:
        return holder(seen, before)
    return None


def _stem(verb: str) -> str:
    plain = {"is": "be", "are": "be", "sitting": "sit", "lying": "lie", "lies": "lie", "lays": "lay",
        "posing": "pose", "poses": "pose", "stopped": "stop", "parked": "park", "seated": "sit", "perched": "perch",
             "smiling": "smile", "dancing": "dance", "squatting": "squat", "crouches": "crouch",
             "placed": "place"}  # fmt: skip
    return plain.get(verb) or re.sub(r"(?:ing|s)$", "", verb)


def _sides(seen: Scene) -> Iterator[Draft]:
    """"a boat in the background" -> "a boat in the foreground"; "on the left" -> "on the right"."""
    for match in re.finditer(r"\b(in the background|in the foreground|on the (?:left|right)(?= side| hand|$|[ "
                             r".,]))", seen.low):
        thing = next((t for t in seen.things if t.end == match.start() - 1), None)
        if (thing is None or thing.name == "others" or not (reference := seen.refer(thing))
            or (not thing.known(words("things", "beside") | words("things", "animals")) and not thing.person)):
            continue
        old = match[1]
        new = {"in the background": "in the foreground", "in the foreground": "in the background",
            "on the left": "on the right", "on the right": "on the left"}[old]
        if (len(seen.things) < 2 or (old in ("in the background",)
            and thing.known(frozenset(("tree", "sign", "train", "house", "mountain", "rock", "plane", "airplane",
            "fence"))))):
            continue
        edited = splice(seen.text, match.start(), match.end(), new)
        yield Draft("move", Asked("move", thing=reference, where=new), edited,
            Asked("move", thing=reference, where=old), thing.one)
