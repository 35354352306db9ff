"""What can be said of one text alone: that it asks for something, that it can be read without its history, that it is
clean."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from uip2p.errors import UserError
from uip2p.instructions.words import verb, words

FIRST_PERSON = re.compile(r"\b(?:i|i'm|i'd|i'll|i've|me|my|mine|myself|we|us|our|ours|let's|let us)\b", re.IGNORECASE)
SENTENCES = re.compile(r"(?<!\bst)(?<!\bmr)(?<!\bdr)(?<!\bmrs)[.!;:]\s+\S|\?|…", re.IGNORECASE)

HISTORY = re.compile(
    r"\b(?:undo|undoes|undone|undoing|revert(?:s|ed|ing)?|restor(?:e|es|ed|ing)|originals?|originally|again|"
    r"previous(?:ly)?|former(?:ly)?|earlier|initial(?:ly)?|once more|used to be|anymore|any more|no longer|"
    r"(?:as|than|like) (?:it was |they were |it were )?before|as (?:it|they|he|she) (?:was|were)|"
    r"before the (?:edit|change)|return(?:s|ed|ing)?|reset)\b",
    re.IGNORECASE,
)
BACK = re.compile(r"\bback\b", re.IGNORECASE)
# What stands before "back" where it is a part of something or a direction: "on its back", "looks back".
BEFORE_BACK = frozenset(
    "a an the his her its their my your one's in at to from s far bare broad hairy hunched arched camel low straight "
    "lean leans leaning leaned laid lay lying lie look looks looking looked step steps stepping sit sits sitting pull "
    "pulled pulls slicked combed swept tied brushed kick kicks kicking facing piggy".split()
)
# What follows it there: "back yard", "back of the truck".
AFTER_BACK = frozenset(
    "of yard door seat seats seated pack packs pocket pockets porch wall street alley garden side wheel wheels row leg "
    "legs foot feet paw paws end part corner room window windows flip flips hand bend stage country light drop board "
    "rest stroke brace tooth teeth patio fence lot road bench left right half section lawn deck tire tires gate entrance "
    "hair fin".split()
)

CONTROL = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
MARKUP = re.compile(r"</?[a-z!][^>]*>|&(?:\w+|#\d+|#x[\da-f]+);|```|\*\*|\]\(|[{}\\<>]", re.IGNORECASE)
URL = re.compile(r"\bhttps?:|\bwww\.|\b[\w-]+\.(?:com|org|net|io|co|ru|info|biz|xyz)\b|\S@\S+\.\w", re.IGNORECASE)


def is_instruction(text: str) -> bool:
    """One sentence that begins with a verb of editing, and neither asks, nor answers, nor speaks of itself."""
    asks = verb(text)
    return bool(asks) and len(words(text)) > 1 and not SENTENCES.search(text) and not FIRST_PERSON.search(text)


def speaks_of_history(text: str) -> bool:
    """Whether it can only be read by who saw the picture before: "change it back", "the original colour"."""
    if HISTORY.search(text):
        return True
    for found in BACK.finditer(text):
        before, after = words(text[: found.start()]), words(text[found.end() :])
        joined = text[found.end() : found.end() + 1] == "-" or text[: found.start()].endswith("-")
        part = before and before[-1] in BEFORE_BACK or after and after[0] in AFTER_BACK
        if not joined and not part:
            return True
    return False


def is_clean(text: str) -> bool:
    """No profanity, no NSFW wording, no control or right-to-left characters, no markup, no address."""
    if any(unicodedata.category(character) in CONTROL for character in text):
        return False
    return not MARKUP.search(text) and not URL.search(text) and not is_profane(text)
