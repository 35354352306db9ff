"""Surgery on a caption's text: what is put in, cut out or changed leaves its spelling, case and punctuation alone."""

from __future__ import annotations

import re
from functools import cache


def listed(text: str) -> frozenset[str]:
    """"a b c" -> {"a", "b", "c"}."""
    return frozenset(text.split())


VOWEL = re.compile(r"(?!uni|uku|use|used|euro|one\b|once|u[bst]|suv)[aeiou]|hour|honest|heir|atv\b|suv\b|umb|und|"
                   r"ug", re.I)
DEFINITE = ("the", "this", "that", "these", "those", "his", "her", "its", "their", "both", "another", "each", "every")
PREPOSITIONS = listed("in on at with of by near next to beside behind above below under over through across along "
                      "around past from into onto inside "
    "outside atop between among against toward towards off up down out for as without during amid alongside "
    "underneath beneath "
    "about like upon within after before")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several", "some", "many",
    "multiple", "few", "various")


def a(phrase: str) -> str:
    """"red hat" -> "a red hat"."""
    return f"{'an' if VOWEL.match(phrase) else 'a'} {phrase}"


def bare(phrase: str) -> str:
    """"a red hat", "the red hat", "some grass" -> without the article."""
    return re.sub(r"^(?:an?|the|some)\s+", "", phrase, flags=re.I)


def splice(text: str, start: int, end: int, new: str) -> str:
    """text[start:end] replaced by `new`: an "a" before it fits again, and the first letter keeps its case."""
    before, after = text[:start], text[end:]
    match = re.search(r"(?:^|(?<=\s))(an?)(\s+)$", before, re.I)
    if match and new:
        fitting = a(new).split()[0]
        if match[1][0].isupper():
            fitting = fitting.capitalize()
        before = before[: match.start(1)] + fitting + match[2]
    if not before.strip() and new and text[start : start + 1].isupper():
        new = new[0].upper() + new[1:]
    return before + new + after


def cut(text: str, start: int, end: int) -> str:
    """text without [start:end]: no double space, no space before a comma that had none, no comma left hanging."""
    before, after = text[:start].rstrip(), text[end:].lstrip()
    if not before.strip():
        after = after.lstrip(" ,")
        return after[:1].upper() + after[1:] if text[:1].isupper() else after
    if after[:1] in (".", "!", "?") or not after:
        before = before.rstrip(" ,")
        gap = " " if text[end:][:1].isspace() and after else ""
        return before + gap + after
    if before.endswith(",") and after.startswith(","):  # a phrase between commas
        return before.rstrip(" ,") + " " + after[1:].lstrip()
    if after.startswith(","):
        gap = " " if text[end:][:1].isspace() else ""
        return before + gap + after
    return before + " " + after


def append(text: str, phrase: str) -> str:
    """The phrase behind the last word and before the closing punctuation. "A dog runs ." -> "A dog runs at night ."."""
    match = re.search(r"[\s.!?]*$", text)
    assert match
    return text[: match.start()] + (phrase if phrase.startswith(",") else " " + phrase) + match.group()


def lower_first(text: str) -> str:
    """"A dog" -> "a dog"; "I", "NASA" and names of one capital that do not begin a common word stay."""
    first = text.split(maxsplit=1)[0] if text.split() else ""
    return text if (len(first) > 1 and first[1:].lower() != first[1:]) or first == "I" else text[:1].lower() + text[1:]


@cache
def plural(noun: str) -> str:
    """"red fox" -> "red foxes"; a noun that has no other plural stays."""
    head, _, last = noun.rpartition(" ")
    if head:
        return f"{head} {plural(last)}"
    if _SINGULAR.get(noun) == noun or noun in ("sheep", "deer", "fish"):
        return noun
    if noun in _PLURAL:
        return _PLURAL[noun]
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(?:ch|sh|x|s|z)$", noun) else "s")


@cache
def singular(noun: str) -> str:
    """"foxes" -> "fox"; a noun that is singular already stays."""
    return _SINGULAR.get(noun) or _by_rule(noun)


_SINGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "people", "feet": "foot", "geese": "goose",
    "mice": "mouse",
    "knives": "knife", "leaves": "leaf", "wolves": "wolf", "calves": "calf", "scarves": "scarf", "shelves": "shelf",
    "glasses": "glasses", "sunglasses": "sunglasses", "goggles": "goggles", "shorts": "shorts", "pants": "pants",
    "jeans": "jeans",
    "clothes": "clothes", "bus": "bus", "grass": "grass", "dress": "dress", "glass": "glass", "gas": "gas",
    "tennis": "tennis",
    "harness": "harness", "skis": "ski", "cactus": "cactus", "bass": "bass", "stairs": "stairs",
    "steps": "steps", "octopus": "octopus",
    "buses": "bus", "taxis": "taxi", "woods": "woods", "trousers": "trousers", "tights": "tights",
    "overalls": "overalls",
    "pajamas": "pajamas", "scissors": "scissors", "headphones": "headphones", "trunks": "trunks", "gloves": "gloves",
    "princess": "princess", "waitress": "waitress", "mattress": "mattress", "christmas": "christmas",
    "lens": "lens", "canvas": "canvas",
    "cookies": "cookie", "zombies": "zombie", "movies": "movie", "ties": "tie", "beanies": "beanie",
    "hoodies": "hoodie", "pies": "pie",
    "brownies": "brownie", "mess": "mess", "cross": "cross", "fries": "fries", "swiss": "swiss", "tv's": "tv",
}  # fmt: skip


_PLURAL = {one: many for many, one in _SINGULAR.items() if one != many and many not in ("skis",)}


def _by_rule(noun: str) -> str:
    head, _, last = noun.rpartition(" ")
    if head:
        return f"{head} {singular(last)}"
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if re.search(r"(?:ch|sh|x|ss|o)es$", noun) and noun not in ("shoes", "canoes", "toes"):
        return noun[:-2]
    return noun[:-1] if re.search(r"[^siu]s$", noun) and len(noun) > 3 else noun


def plural_verb(verb: str) -> str:
    """"is" -> "are", "runs" -> "run"; others stay."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if re.search(r"[^aeiou]ies$", verb):
        return verb[:-3] + "y"
    if re.search(r"(?:ch|sh|x|ss|zz)es$", verb) or verb == "goes":
        return verb[:-2]
    return verb[:-1] if re.search(r"[^s]s$", verb) else verb


def singular_verb(verb: str) -> str:
    """"are" -> "is", "run" -> "runs"; past forms, participles and others stay."""
    for one, many in _IRREGULAR.items():
        if many == verb:
            return one
    if (re.search(r"(?:ing|ed)$", verb) and verb not in ("sing", "bring", "swing", "fling", "cling", "ring",
        "feed", "need")):
        return verb
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if re.search(r"(?:ch|sh|x|ss|zz)$", verb) or verb == "go" else "s")


_IRREGULAR = {"is": "are", "was": "were", "has": "have", "does": "do"}
