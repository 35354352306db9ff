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
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.writer import Edit
from uip2p.records import Caption


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of an edit; saved with the run. (from_dict(Rules, …) refuses unknown settings.)

    skip: names of predicates that are not asked. For sources that bring their own instructions and edited captions,
    where only the reverse is written: SOURCE_WROTE.
    instruction_words, caption_words, characters: (least, most) of each instruction, each caption, and any text.
    caption_ratio: the longer of the two captions has at most this many times the words of the other.
    encoder: a sentence encoder (folder or hub id) or a CLIP's folder: judges direction, and round_trip where the
    grammar cannot. "" for none. direction: the least ‖E(T_ed) − E(T_in)‖.
    clip: a CLIP's folder or hub id that sees the pictures, "" for none. image_text: the least cosine of caption and
    picture (IP2P's).
    """

    skip: tuple[str, ...] = ()
    instruction_words: tuple[int, int] = (2, 25)
    caption_words: tuple[int, int] = (2, 60)
    characters: tuple[int, int] = (5, 400)
    caption_ratio: float = 3.0
    encoder: str = ""
    direction: float = 0.1
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
PREDICATES: dict[str, Predicate] = {}
DUPLICATE = "duplicate"
REASONS = (*PREDICATES, DUPLICATE)
SOURCE_WROTE = ("instruction_is_instruction", "edit_in_caption", "only_the_edit")


def judge(edit: Edit, caption: Caption, facts: Facts) -> Verdict:
    """Every predicate that the rules do not skip, in the order of PREDICATES."""
    answers = {name: ask(edit, caption, facts) for name, ask in PREDICATES.items() if name not in facts.rules.skip}
    return Verdict(
        tuple(name for name, answer in answers.items() if answer is False),
        tuple(name for name, answer in answers.items() if answer is None),
    )


class Judge:
    """Judges edits in batches. Loads the models that the rules name (once: keep one a process).

    UserError: a model cannot be loaded, or a package that it needs is not there (it says what to install).
    """

    def __init__(self, rules: Rules = Rules()):  # noqa: B008 (frozen)
        self.rules = rules

    def __call__(
        self, pairs: Sequence[tuple[Edit, Caption]], pictures: Sequence[Any] | None = None
    ) -> list[Verdict]:
        """pairs: each edit with the caption that it is of. pictures: of each pair, a path or bytes, None where there
        is none; only a CLIP looks at them. What is said of a pair does not depend on the others."""
        return [judge(edit, caption, Facts(self.rules)) for edit, caption in pairs]


def duplicates(rows: Iterable[tuple[str, str]]) -> list[bool]:
    """(image id, instruction) of each accepted edit, in the source's order → True for those whose picture has had the
    same instruction before, up to case, spaces and punctuation."""
    seen: set[tuple[str, str]] = set()
    found = []
    for image, instruction in rows:
        same = image, " ".join("".join(c if c.isalnum() else " " for c in instruction.casefold()).split())
        found.append(same in seen)
        seen.add(same)
    return found
