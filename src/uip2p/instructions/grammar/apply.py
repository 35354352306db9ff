"""Carrying an instruction out on a caption, and telling whether two captions say the same: the grammar's round trip."""

from __future__ import annotations

import re
from functools import cache

from uip2p.instructions.grammar.asked import Asked, read
from uip2p.instructions.grammar.find import Place, color_at, find, split_reference
from uip2p.instructions.grammar.parse import COLOR
from uip2p.instructions.grammar.same import same
from uip2p.instructions.grammar.scene import place_of, places
from uip2p.instructions.grammar.tables import table, words
from uip2p.instructions.grammar.text import append, bare, cut, plural_verb, singular, splice

LONGEST = 1000  # characters of a caption; an instruction is shorter
LINKS = r"(?:wearing|dressed in|holding|carrying|in|with|and has|and holding|and carrying|and wearing|has|having)"
WHERE = (r"(?:in the (?:background|distance|foreground|sky|corner|water|air)|(?:on|in|next to|beside|behind|near|"
         r"by|in front of|around|over|at|under) "
         r"(?:(?:its|it's|his|her|their|the) (?:mouths?|hands?|heads?|backs?|faces?|necks?|shoulders?|laps?|arms|"
         r"teeth|feet)|it|him|her|them)|on top of it|nearby)")  # fmt: skip


def apply(instruction: str, caption: str) -> str | None:
    """What the caption becomes when the instruction is carried out. None: the grammar cannot read the instruction, or
    does not find in the caption what it speaks of."""
    asked = read(instruction)
    return None if asked is None else carry_out(asked, caption)


def carry_out(asked: Asked, caption: str) -> str | None:
    """`apply` for an instruction that is read."""
    text = caption.rstrip()
    if not text.strip() or len(text) > LONGEST:
        return None
    doing = {"recolor": _recolor, "remove": _remove, "add": _add, "give": _give, "replace": _replace, "move": _move,
             "place": _place, "weather": _sky, "time": _sky, "style": _style,
             "unstyle": _unstyle}[asked.action]  # fmt: skip
    return doing(asked, text)


def _recolor(asked: Asked, text: str) -> str | None:
    clothes = re.fullmatch(r"(.+?(?:'s|s')) (?:clothes|clothing|outfit)", asked.thing)
    if clothes:
        said = re.search(rf"\b{re.escape(split_reference(clothes[1] + ' x')[0].split()[-1])} (?:dressed in|wearing|"
                         rf"in) ({COLOR.pattern})", text, re.I)
        return splice(text, *said.span(1), asked.color) if said else None
    place = find(text, asked.thing)
    if place is None:
        return None
    span = color_at(text, place)
    if span is not None:
        return splice(text, *span, asked.color)
    return splice(text, place.noun, place.noun, asked.color + " ")


def _replace(asked: Asked, text: str) -> str | None:
    place = find(text, asked.thing)
    if place is None:
        return None
    own = re.match(r"(?:his|her|their|its|the) ", text[place.start :], re.I)  # "his bike" -> "his scooter"
    return splice(text, place.start + (own.end() if own else 0), place.end, bare(asked.new) if own else asked.new)


def _tail_of(text: str, end: int) -> int:
    """Where a phrase that says where a thing is ends: "a ball| in its mouth|"."""
    match = re.match(rf" {WHERE}\b", text[end:], re.I)
    return end + match.end() if match else end


def _remove(asked: Asked, text: str) -> str | None:
    place = find(text, asked.thing)
    if place is None:
        return None
    low = text.lower()
    before, after = low[: place.start], low[place.end :]
    tail = _tail_of(text, place.end)
    joined = re.search(r",? ?\band $", before)
    if joined and not re.match(r" (?:and|,)", after):
        shorter = cut(text, joined.start(), tail if re.match(r" (?:in|on) (?:the|it|its)\b", after)
            and tail > place.end and not re.search(r"\b(?:in|on) the \w+$", low[place.end : tail]) else place.end)
        return _agree(shorter, joined.start(), singular_verb_too=True)
    if re.match(r" and ", after) and re.search(rf"\b{LINKS} $", before):
        return cut(text, place.start, place.end + 5)
    beside = re.search(r"(?:\b(?:next to|beside|near|by|in front of|behind|alongside|with|while) )$", before)
    link = re.search(rf",? ?\b{LINKS} $", before)
    if link is not None:
        return cut(text, link.start(), tail)
    if beside is not None:
        return cut(text, beside.start(), place.end)
    member = re.search(r" ?, $", before)
    if member is not None:
        return cut(text, member.start(), place.end)
    return None


def _agree(text: str, at: int, singular_verb_too: bool = False) -> str:
    """"a man| are walking" -> "a man is walking", where the subject has lost its second half."""
    match = re.match(r" (are|were|have|do)\b", text[at:])
    if match and re.match(r"(?:the|an?|one) ", text.lower()):
        one = {"are": "is", "were": "was", "have": "has", "do": "does"}[match[1]]
        return text[: at + 1] + one + text[at + match.end() :]
    return text


def _give(asked: Asked, text: str) -> str | None:
    place = find(text, asked.owner)
    if place is None:
        return None
    return text[: place.end] + f" with {asked.new}" + text[place.end :]


def _add(asked: Asked, text: str) -> str | None:
    where = asked.where
    match = re.fullmatch(r"(next to|beside|near|by|with|alongside|behind|in front of) (.+)", where)
    if match and (place := find(text, match[2])):
        if match[1] in ("behind", "in front of"):
            other = {"behind": "in front of", "in front of": "behind"}[match[1]]
            return append(text, f"{other} {asked.new}")
        if _animate(asked.new):
            longer = text[: place.end] + f" and {asked.new}" + text[place.end :]
            at = place.end + 5 + len(asked.new)
            verb = re.match(r" ([a-z]+)\b", longer[at:])
            if verb and (place.start == 0):
                longer = longer[: at + 1] + plural_verb(verb[1]) + longer[at + verb.end() :]
            return longer
        return append(text, f"next to {asked.new}")
    match = re.fullmatch(r"(on|in|under|over|to) (the .+|.+'s? .+)", where)
    if match and not re.fullmatch(r"in the (?:background|distance|foreground|sky|corner|water|air)", where):
        whose, part = split_reference(match[2])
        place = find(text, whose or match[2])
        if place is None:
            return None
        tail = f"{match[1]} its {part}" if whose else f"{match[1]} it" if match[1] != "to" else ""
        return text[: place.end] + f" with {asked.new} {tail}".rstrip() + text[place.end :]
    return append(text, f"with {asked.new} {where}".rstrip())


def _animate(new: str) -> bool:
    noun = singular(bare(new).split()[-1])
    return noun in words("things", "animals") or noun in words("people", "singular") or noun in words("people", "many")


def _move(asked: Asked, text: str) -> str | None:
    """The phrase that says where a thing is, in other words."""
    low = text.lower()
    place = find(text, asked.thing)
    if place is None:
        return None
    where = re.sub(r"^to the (background|foreground|middle)\b", r"in the \1",
        re.sub(r"^to the (left|right)$", r"on the \1", asked.where))
    where = re.sub(r"^to the (top|bottom|edge)\b", r"at the \1", re.sub(r"^onto ", "on ", where))
    fixed = re.match(r" (in the (?:background|foreground)|on the (?:left|right))\b", low[place.end :])
    if fixed and re.fullmatch(r"(?:in|on) the \w+", where):
        return splice(text, place.end + 1, place.end + fixed.end(), where)
    body = re.fullmatch(r"(in|at|to|into) (.+?)(?:'s|s') (mouth|feet)", where)
    if body:
        match = re.compile(r" (?:in|at) (its|it's|his|her|their) (?:mouths?|feet)").match(low, place.end)
        return splice(text, match.start(), match.end(),
            f" {'at' if body[3] == 'feet' else 'in'} {match[1]} {body[3]}") if match else None
    match = re.match(rf"({'|'.join(_ways())}) (.+)$", where)
    if match is None:
        return None
    base = find(text, match[2])
    if base is None:
        return None
    said = re.search(rf"\b({'|'.join(_ways())}) $", low[: base.start])
    return splice(text, said.start(), said.start() + len(said[1]), match[1]) if said else None


@cache
def _ways() -> tuple[str, ...]:
    moves = table("move")
    return tuple(sorted({w for r in moves["relation"] for w in r["ways"]} | set(moves["same"]) | {"onto"},
        key=len, reverse=True))


@cache
def _scene_phrase() -> re.Pattern[str]:
    nouns = "|".join(sorted(map(re.escape, places()), key=len, reverse=True))
    return re.compile(rf"\b(in|on|at|through|across|along|down) ((?:(?:an?|the|some) )?(?:(?!(?:the|an?|and|with|"
                      rf"to) )[\w'-]+ ){{0,3}}?(?:{nouns}))(?![\w'-]| (?:{nouns})\b)", re.I)


def _place(asked: Asked, text: str) -> str | None:
    """The place is the one phrase of the caption that names a place."""
    found = list(_scene_phrase().finditer(text))
    if len(found) != 1:
        return None
    target = asked.place or re.sub(r"^(?:in|on|at)\s+", "", asked.where)
    moving = found[0][1].lower() in ("through", "across", "along", "down")
    preposition = place_of(target)[2 if moving else 1]
    return splice(text, found[0].start(), found[0].end(), f"{preposition} {target}")


def _sky(asked: Asked, text: str) -> str | None:
    """Weather and time of day: a phrase at the end comes or goes."""
    value, off = (asked.value.removesuffix("_off"), asked.value.endswith("_off"))
    entry = next((e for e in table("scene")[asked.action] if e["to"] == value), None)
    if entry is None:
        return None
    if not off:
        return append(text, entry["phrases"][0])
    for phrase in entry["phrases"]:
        match = re.search(rf",? {re.escape(phrase)}\b", text, re.I)
        if match:
            return cut(text, match.start(), match.end())
    return None


def _style(asked: Asked, text: str) -> str | None:
    style = next((s for s in table("scene")["style"] if asked.style.endswith(s["name"])), None)
    return None if style is None else append(text, f", {style['suffix'][-1]}")


def _unstyle(asked: Asked, text: str) -> str | None:
    for style in table("scene")["style"]:
        if asked.medium and asked.medium != f"the {style['name']}":
            continue
        if (asked.value == "color") != (style["name"] == "black and white photo"):
            continue
        for prefix in style["prefix"]:
            if text.lower().startswith(prefix + " "):
                return splice(text, 0, len(prefix) + 1,
                    "") if not text[:1].isupper() else _upper(text[len(prefix) + 1 :])
        for suffix in style["suffix"]:
            match = re.search(rf", {re.escape(suffix)}\b", text, re.I)
            if match:
                return cut(text, match.start(), match.end())
    return None


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def leads_back(reverse: str, edited: str, caption: str) -> bool | None:
    """Whether the reverse instruction, carried out on the edited caption, says what the caption says. None: the grammar
    cannot read the instruction or does not find what it speaks of."""
    result = apply(reverse, edited)
    return None if result is None else same(result, caption)


__all__ = ["Place", "apply", "carry_out", "leads_back", "read", "same"]
