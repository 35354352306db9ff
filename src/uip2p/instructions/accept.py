"""Which proposed edits are accepted: pure predicates, each with a name that is counted in reports.

    judge = Judge(Rules())                          # loads what the rules name, once a process
    verdicts = judge([(edit, caption), ...])        # batched; verdict.reasons == () is accepted
    again = duplicates((caption.image_id, edit.instruction) for each accepted edit, in the source's order)

A predicate answers True (as it should be), False (a reason to reject) or None: it cannot tell, or needs a model that
the rules do not name. None never rejects, and is counted as not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from uip2p.errors import UserError
from uip2p.instructions.round_trip import returns
from uip2p.instructions.wording import is_clean, is_instruction, speaks_of_history
from uip2p.instructions.words import read, words
from uip2p.instructions.writer import Edit
from uip2p.records import Caption

if TYPE_CHECKING:
    from uip2p.instructions.encoder import Cached


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of an edit; saved with the run. (from_dict(Rules, …) refuses unknown settings.)

    skip: names of predicates that are not asked. For sources that bring their own instructions and edited captions,
    where only the reverse is written: SOURCE_WROTE.
    instruction_words, caption_words, characters: (least, most) of each instruction, each caption, and any text.
    caption_ratio: the longer of the two captions has at most this many times the words of the other.
    encoder: a sentence encoder or a CLIP (folder or hub id) that judges direction, "" for none. direction: the least
    ‖E(T_ed) − E(T_in)‖ of its unit vectors (of all-MiniLM-L6-v2: a full stop more is 0.07, a colour 0.2 to 0.9).
    clip: a CLIP's folder or hub id that sees the pictures, "" for none. image_text: the least cosine of caption and
    picture (IP2P's).
    """

    skip: tuple[str, ...] = ()
    instruction_words: tuple[int, int] = (2, 25)
    caption_words: tuple[int, int] = (2, 60)
    characters: tuple[int, int] = (5, 400)
    caption_ratio: float = 3.0
    encoder: str = ""
    direction: float = 0.12
    clip: str = ""
    image_text: float = 0.2

    def __post_init__(self) -> None:
        for name in self.skip:
            if name not in REASONS:
                raise UserError(f"skip: there is no predicate {name!r}. There are {', '.join(REASONS)}.")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an edit beyond its texts; None: not known.

    direction: ‖E(T_ed) − E(T_in)‖. image_text: cosine of caption and picture. returns: whether the reverse, applied
    to the edited caption, leads back to the caption.
    """

    rules: Rules
    direction: float | None = None
    image_text: float | None = None
    returns: bool | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """reasons: names of the predicates that fail; () is accepted. not_judged: names of those that could not tell."""

    reasons: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return not self.reasons


Predicate = Callable[[Edit, Caption, Facts], bool | None]


def caption_differs(edit: Edit, caption: Caption, facts: Facts) -> bool:
    """By a word at least, be it "on" for "under"; not only by case, spaces and punctuation."""
    return words(edit.edited_caption) != words(caption.caption)


def instruction_is_instruction(edit: Edit, caption: Caption, facts: Facts) -> bool:
    return is_instruction(edit.instruction) and not _repeats(edit.instruction, edit, caption)


def reverse_is_instruction(edit: Edit, caption: Caption, facts: Facts) -> bool:
    return is_instruction(edit.reverse_instruction) and not _repeats(edit.reverse_instruction, edit, caption)


def _repeats(instruction: str, edit: Edit, caption: Caption) -> bool:
    """A caption that begins with what could be a verb: "color photo of a dog"."""
    return any(
        SequenceMatcher(None, words(instruction), words(text), autojunk=False).ratio() >= 0.8
        for text in (edit.edited_caption, caption.caption)
    )


def no_back(edit: Edit, caption: Caption, facts: Facts) -> bool:
    """Neither instruction speaks of what was before: the other one, or the picture before, is not at hand."""
    return not speaks_of_history(edit.instruction) and not speaks_of_history(edit.reverse_instruction)


def edit_in_caption(edit: Edit, caption: Caption, facts: Facts) -> bool:
    """What the instruction brings in is in the edited caption, and what it acts on or takes away in the caption."""
    reading = read(edit.instruction, caption.caption, edit.edited_caption)
    return reading.acts and not reading.invented


def only_the_edit(edit: Edit, caption: Caption, facts: Facts) -> bool:
    """Nothing comes into the edited caption that the instruction does not ask for."""
    reading = read(edit.instruction, caption.caption, edit.edited_caption)
    return reading.gained <= reading.brings


def reverse_visible(edit: Edit, caption: Caption, facts: Facts) -> bool:
    """The reverse acts on what the edited caption shows, and brings in what the caption had: nothing is made up. Where
    the edit took nothing away, its reverse can only remove: "make the dog white" of a dog without a colour is a guess.
    """
    reading = read(edit.reverse_instruction, edit.edited_caption, caption.caption)
    return reading.acts and not reading.invented


def lengths(edit: Edit, caption: Caption, facts: Facts) -> bool:
    rules, captions = facts.rules, (caption.caption, edit.edited_caption)
    instructions = (edit.instruction, edit.reverse_instruction)
    few, many = sorted(len(words(text)) for text in captions)
    return (
        all(rules.characters[0] <= len(text) <= rules.characters[1] for text in (*captions, *instructions))
        and all(rules.instruction_words[0] <= len(words(text)) <= rules.instruction_words[1] for text in instructions)
        and rules.caption_words[0] <= few <= many <= rules.caption_words[1]
        and many <= rules.caption_ratio * few
    )


def _too_long(edit: Edit, caption: Caption, rules: Rules) -> bool:
    texts = (caption.caption, edit.instruction, edit.edited_caption, edit.reverse_instruction)
    return max(map(len, texts)) > rules.characters[1]


def clean(edit: Edit, caption: Caption, facts: Facts) -> bool:
    """No profanity or NSFW wording, control or right-to-left characters, markup or addresses, in any of the texts."""
    texts = (caption.caption, edit.instruction, edit.edited_caption, edit.reverse_instruction)
    return all(map(is_clean, texts))


def direction(edit: Edit, caption: Caption, facts: Facts) -> bool | None:
    """The captions are far enough from each other for the direction between them to mean something (L_CLIP's)."""
    return None if facts.direction is None else facts.direction >= facts.rules.direction


def picture(edit: Edit, caption: Caption, facts: Facts) -> bool | None:
    """The caption is of this picture, as IP2P asks of its own."""
    return None if facts.image_text is None else facts.image_text >= facts.rules.image_text


def round_trip(edit: Edit, caption: Caption, facts: Facts) -> bool | None:
    return facts.returns


PREDICATES: dict[str, Predicate] = {
    ask.__name__: ask
    for ask in (
        caption_differs, instruction_is_instruction, reverse_is_instruction, no_back, edit_in_caption, only_the_edit,
        reverse_visible, round_trip, lengths, clean, direction, picture,
    )
}  # fmt: skip
DUPLICATE = "duplicate"
REASONS = (*PREDICATES, DUPLICATE)
SOURCE_WROTE = ("instruction_is_instruction", "edit_in_caption", "only_the_edit")


def judge(edit: Edit, caption: Caption, facts: Facts) -> Verdict:
    """Every predicate that the rules do not skip, in the order of PREDICATES. Of texts with more characters than the
    rules allow only this is said: nobody reads 100 kB."""
    if _too_long(edit, caption, facts.rules):
        return Verdict((lengths.__name__,))
    answers = {name: ask(edit, caption, facts) for name, ask in PREDICATES.items() if name not in facts.rules.skip}
    return Verdict(
        tuple(name for name, answer in answers.items() if answer is False),
        tuple(name for name, answer in answers.items() if answer is None),
    )


class Judge:
    """Judges edits in batches. Loads the models that the rules name (once: keep one a process).

    UserError: a model cannot be loaded, or a package that it needs is not there (it says what to install).
    """

    def __init__(self, rules: Rules = Rules()):
        self.rules = rules
        self.encoder: Cached | None = None
        self.likeness: Callable[[Any, str], float] | None = None
        if rules.encoder or rules.clip:  # torch takes seconds, and most runs need none of it
            from uip2p.instructions import encoder

            self.encoder = encoder.load_encoder(rules.encoder) if rules.encoder else None
            self.likeness = encoder.load_likeness(rules.clip) if rules.clip else None

    def __call__(
        self, pairs: Sequence[tuple[Edit, Caption]], pictures: Sequence[Any] | None = None
    ) -> list[Verdict]:
        """pairs: each edit with the caption that it is of. pictures: of each pair, a path or bytes, None where there
        is none; only a CLIP looks at them. What is said of a pair does not depend on the others."""
        facts = zip(self._directions(pairs), self._image_texts(pairs, pictures), strict=True)
        return [
            judge(edit, caption, Facts(self.rules, direction, image_text, self._returns(edit, caption)))
            for (edit, caption), (direction, image_text) in zip(pairs, facts, strict=True)
        ]

    def _returns(self, edit: Edit, caption: Caption) -> bool | None:
        skipped = round_trip.__name__ in self.rules.skip or _too_long(edit, caption, self.rules)
        return None if skipped else returns(edit, caption.caption)

    def _directions(self, pairs: Sequence[tuple[Edit, Caption]]) -> Sequence[float | None]:
        if self.encoder is None or not pairs:
            return [None] * len(pairs)
        before, after = [caption.caption for _, caption in pairs], [edit.edited_caption for edit, _ in pairs]
        lengths = ((self.encoder.encode(after) - self.encoder.encode(before)) ** 2).sum(-1) ** 0.5
        return [float(length) for length in lengths]

    def _image_texts(
        self, pairs: Sequence[tuple[Edit, Caption]], pictures: Sequence[Any] | None
    ) -> Sequence[float | None]:
        """The cosine of each pair's caption and picture; −1 where it does not open: nobody can train on it."""
        if self.likeness is None or pictures is None:
            return [None] * len(pairs)
        seen: dict[tuple[str, str], float] = {}  # a picture has several edits
        for (_, caption), picture in zip(pairs, pictures, strict=True):
            key = (caption.image_id, caption.caption)
            if picture is not None and key not in seen:
                try:
                    seen[key] = self.likeness(picture, caption.caption)
                except UserError:
                    seen[key] = -1.0
        return [seen.get((caption.image_id, caption.caption)) for _, caption in pairs]


def duplicates(rows: Iterable[tuple[str, str]]) -> list[bool]:
    """(image id, instruction) of each accepted edit, in the source's order → True for those whose picture has had the
    same instruction before, up to case, spaces and punctuation."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    answers = []
    for image_id, instruction in rows:
        row = (image_id, tuple(words(instruction)))
        answers.append(row in seen)
        seen.add(row)
    return answers
