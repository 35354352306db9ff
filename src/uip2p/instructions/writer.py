"""What a writer of edits offers, whoever it is: a grammar, an LLM behind an endpoint, an LLM in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from uip2p.records import Caption

# The paper's four (its appendix), and those that any picture allows.
KINDS = ("color", "add", "remove", "move", "replace", "place", "weather", "time", "style")

Mode = Literal["full", "reverse"]
"""full: instruction, edited caption and reverse instruction are written. reverse: the source has the first two, and
only the reverse instruction is."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is proposed for a caption; with the caption and its picture it is an EditRecord.

    kind: one of KINDS, or "other" where the writer cannot tell.
    """

    kind: str
    instruction: str
    edited_caption: str
    reverse_instruction: str


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one caption. row: its number in the source. edits: any number, unjudged, none where `error` says
    why there cannot be any ("not English", "the endpoint's answer was no JSON, three times").

    calls, tokens_in, tokens_out: what it took of an LLM; calls that failed count too.
    """

    row: int
    edits: tuple[Edit, ...] = ()
    error: str = ""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Writer(Protocol):
    """name: "grammar", "endpoint", "transformers", "gguf", "source". model: which LLM, "" for none. prompt: the
    version of the rules or prompt: a hash of their text, so that another text is another version."""

    name: str
    model: str
    prompt: str

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        """Edits of numbered captions, each caption once, in whatever order they are done. Captions are taken from the
        iterable a few ahead and never all at once. What is written for a caption depends on (caption, seed) alone,
        never on its neighbours. UserError: nothing can go on (no such model, the cap on calls or cost is reached);
        what was yielded before stands."""
