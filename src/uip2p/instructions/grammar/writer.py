"""The grammar writer: several edits a caption, from its parse and the tables, offline; one seed, one set of edits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from random import Random

from uip2p.errors import UserError
from uip2p.instructions.grammar import add, colors, moves, remove, replace, scene
from uip2p.instructions.grammar.apply import apply, carry_out, read, same
from uip2p.instructions.grammar.asked import Draft, say
from uip2p.instructions.grammar.parse import Scene, language, model_name
from uip2p.instructions.grammar.parse import scene as see
from uip2p.instructions.grammar.tables import version
from uip2p.instructions.grammar.text import listed
from uip2p.instructions.writer import KINDS, Edit, Mode, Written
from uip2p.learning.randomness import key
from uip2p.records import Caption

BATCH = 256
LONGEST = 400  # characters; a caption is a sentence or two
FAMILIES: tuple[Callable[[Scene, Random], list[Draft]], ...] = (
    colors.drafts, remove.drafts, replace.drafts, add.drafts, moves.drafts, scene.drafts,
)  # fmt: skip
# How soon a kind is taken where a caption allows several: what few captions allow comes first.
WEIGHTS = {"move": 12.0, "remove": 5.0, "place": 4.0, "color": 2.5, "replace": 2.5, "add": 2.0, "weather": 1.2,
    "time": 0.8, "style": 0.5}


SEVERAL = {"color": 2, "add": 2, "remove": 2, "replace": 2, "move": 2}  # edits of a kind for one caption; else one


class GrammarWriter:
    """seed: another seed, other edits. per_caption: at most so many edits a caption. kinds: of writer.KINDS.

    UserError: an unknown kind, fewer than one edit a caption, spaCy or its English model is not installed.
    """

    name = "grammar"

    def __init__(self, seed: int = 0, per_caption: int = 4, kinds: Sequence[str] = KINDS):
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise UserError(f"the grammar writes no edits of kind {', '.join(map(repr, unknown)) or 'none'}: "
                            f"choose from {', '.join(KINDS)}.")
        if per_caption < 1:
            raise UserError(f"{per_caption} edits a caption: give a whole number from 1 up.")
        self.seed, self.per_caption, self.kinds = int(seed), int(per_caption), frozenset(kinds)
        self.nlp = language()
        self.model = model_name()
        self.prompt = version()

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        """In the order of the captions; see Writer."""
        rows = iter(captions)
        while batch := list(islice(rows, BATCH)):
            if mode == "reverse":
                yield from (self._reverse(row, caption) for row, caption in batch)
                continue
            texts = [" ".join(caption.caption.split()) for _, caption in batch]
            readable = [complaint(text) == "" for text in texts]
            docs = self.nlp.pipe([text for text, good in zip(texts, readable, strict=True) if good], batch_size=64)
            for (row, _), text, good in zip(batch, texts, readable, strict=True):
                yield self._write(row, see(next(docs))) if good else Written(row, error=complaint(text))

    def _write(self, row: int, seen: Scene) -> Written:
        if not any(token.pos_ in ("NOUN", "PROPN", "PRON") for token in seen.doc):
            return Written(row, error="the caption names no thing")
        return Written(row, tuple(self.edits(seen)))

    def edits(self, seen: Scene) -> list[Edit]:
        """The chosen edits of a caption, each of which leads back."""
        draw = Random(key(self.seed, "grammar", seen.text))
        drafts = [draft for family in FAMILIES for draft in family(seen, draw) if draft.kind in self.kinds]
        # Efraimidis and Spirakis: keys u^(1/w), the largest first, is drawing by weight without putting back.
        shares = Counter(draft.kind for draft in drafts)
        order = sorted(drafts, key=lambda draft: -(draw.random() ** (shares[draft.kind] / WEIGHTS[draft.kind])))
        chosen: list[Edit] = []
        for draft in order:
            if len(chosen) == self.per_caption:
                break
            if Counter(edit.kind for edit in chosen)[draft.kind] >= SEVERAL.get(draft.kind, 1):
                continue
            edited = draft.edited.upper() if seen.text.isupper() else draft.edited
            edit = Edit(draft.kind, say(draft.forward, draw), edited, say(draft.reverse, draw))
            if edited not in {edit.edited_caption for edit in chosen} and self.sound(edit, seen.text):
                chosen.append(edit)
        return chosen

    def sound(self, edit: Edit, caption: str) -> bool:
        """Whether the edited caption differs, and the reverse instruction, read as anyone would, leads back from it."""
        if same_text(edit.edited_caption, caption):
            return False
        result = apply(edit.reverse_instruction, edit.edited_caption)
        return result is not None and same(result, caption)

    def _reverse(self, row: int, caption: Caption) -> Written:
        """Only the reverse of an instruction that somebody else wrote."""
        from uip2p.instructions.grammar.reverse import reverse

        if not caption.instruction or not caption.edited_caption:
            return Written(row, error="the source has no instruction or no edited caption to reverse")
        asked = read(caption.instruction)
        if asked is None:
            return Written(row, error="the grammar cannot read this instruction")
        draw = Random(key(self.seed, "reverse", caption.caption, caption.instruction))
        back = reverse(asked, caption.caption, caption.edited_caption)
        if back is None:
            return Written(row, error="the grammar cannot work out the reverse of this instruction")
        edit = Edit(KIND.get(asked.action, asked.action), caption.instruction, caption.edited_caption, say(back, draw))
        result = carry_out(back, caption.edited_caption)
        if result is None or not same(result, caption.caption):
            return Written(row, error="the grammar cannot work out the reverse of this instruction")
        return Written(row, (edit,))


KIND = {"recolor": "color", "give": "add", "unstyle": "style"}


def same_text(a: str, b: str) -> bool:
    return a.lower().split() == b.lower().split()


def complaint(text: str) -> str:
    """Why a text is no caption that the grammar can read, or ""."""
    if not text.strip():
        return "the caption is empty"
    if len(text) > LONGEST:
        return f"the caption is longer than {LONGEST} characters"
    letters = re.findall(r"[^\W\d_]", text)
    if len(letters) < 3 or sum(letter.isascii() for letter in letters) < 0.9 * len(letters):
        return "the caption is not English"
    if re.search(r"https?://|[<>{}\[\]|\\]|[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text):
        return "the caption is not plain text"
    common = set(re.findall(r"[a-z']+", text.lower()))
    if len(common) > 4 and not common & COMMON:
        return "the caption is not English"
    return ""


COMMON = listed("a an the in on of and with is are at to by near his her its two three through for from next "
                "wearing some while as over holding playing sitting standing")
