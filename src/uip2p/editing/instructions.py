"""What may be asked of a model: a text it can read, and, if its vocabulary is closed, words it knows."""

from __future__ import annotations

import difflib
import re

from uip2p.errors import UserError
from uip2p.models.parts import Parts

LISTED = "`uip2p ui` lists its words, as its uip2p.json does."


class UnknownWord(UserError):
    """A word outside a closed vocabulary. word: as it was read. near: known words that look like it, nearest first."""

    def __init__(self, message: str, word: str, near: list[str]):
        super().__init__(message)
        self.word, self.near = word, near


def check_instruction(instruction: str, parts: Parts) -> str:
    """The instruction as the model reads it. UserError: empty, too long, or a word outside a closed vocabulary."""
    if not isinstance(instruction, str):
        raise UserError(f"the instruction is {instruction!r}: give a text, such as 'make the car blue'.")
    text = " ".join(instruction.split())
    if not re.search(r"\w", text):
        raise UserError("the instruction is empty: say what to change, such as 'make the car blue'.")
    if parts.settings.vocabulary is not None:
        text = _in_vocabulary(text, parts.settings.vocabulary, parts.name)
    length = len(parts.tokenizer(text).input_ids)
    if length > parts.max_tokens:
        raise UserError(
            f"the instruction is {length - 2} tokens long, and the model '{parts.name}' reads {parts.max_tokens - 2}: "
            f"shorten it, or give it in turns. It begins '{text[:40]}'."
        )
    return text


def _in_vocabulary(text: str, vocabulary: tuple[str, ...], name: str) -> str:
    """Lower case, and no punctuation but the commas between words: as the model learned to read."""
    text = re.sub(r"[^\w,]|_", " ", text.lower())
    text = re.sub(r"[\s,]*,[\s,]*", ", ", " ".join(text.split())).strip(", ")
    known = set(vocabulary)
    for word in text.replace(",", " ").split():
        if word not in known:
            near = difflib.get_close_matches(word, vocabulary, n=3, cutoff=0.6)
            hint = f"Did you mean {_either(near)}?" if near else LISTED
            text = f"'{word}' is not a word that the model '{name}' knows (it knows {len(known)}). {hint}"
            raise UnknownWord(text, word, near)
    return text


def _either(words: list[str]) -> str:
    quoted = [f"'{word}'" for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
