"""What can be said of one text alone: that it asks for something, that it can be read without its history, that it is
clean."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files

from uip2p.errors import UserError
from uip2p.instructions.lexicon import AFTER_BACK, BEFORE_BACK, INNOCENT, NSFW
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
        joined = text[found.end() :].startswith("-") or text[: found.start()].endswith(("-", "'s ", "’s ", "s' "))
        part = {*before[-1:]} & BEFORE_BACK or {*after[:1]} & AFTER_BACK
        if not joined and not part:
            return True
    return False


def is_clean(text: str) -> bool:
    """No profanity, no NSFW wording, no control or right-to-left characters, no markup, no address."""
    if any(unicodedata.category(character) in CONTROL for character in text):
        return False
    return not MARKUP.search(text) and not URL.search(text) and not is_profane(text)


def is_profane(text: str) -> bool:
    """By better-profanity's list, without what is innocent in the caption of a photo. Whole words only: no
    "Scunthorpe"."""
    said, listed = words(text), _profanity()
    return any(" ".join(said[at : at + length]) in listed for length in (1, 2, 3, 4) for at in range(len(said)))


@lru_cache(maxsize=1)
def _profanity() -> frozenset[str]:
    try:
        lines = files("better_profanity").joinpath("profanity_wordlist.txt").read_text(encoding="utf-8").splitlines()
    except ModuleNotFoundError:
        raise UserError("to judge edits, install better-profanity: pip install 'uip2p[data]'.") from None
    return (frozenset(" ".join(words(line)) for line in lines) | NSFW) - INNOCENT - {""}


def printable(text: str) -> str:
    """What can be shown to a person on one line: nothing in it moves a cursor or turns the text around."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
