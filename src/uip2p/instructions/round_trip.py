"""Does the reverse, applied to the edited caption, lead back to the caption? The grammar tells where it can read the
reverse, its words tell where it cannot. (A sentence encoder does not: benchmarks/round_trip.py compares them.)"""

from __future__ import annotations

from uip2p.instructions.words import Reading, read
from uip2p.instructions.writer import Edit


def by_grammar(edit: Edit, caption: str) -> bool | None:
    """None: the grammar cannot read the reverse, or not apply it to this caption."""
    from uip2p.instructions.grammar.apply import apply, same

    back = apply(edit.reverse_instruction, edit.edited_caption)
    return None if back is None else same(back, caption)


def returns(edit: Edit, caption: str) -> bool:
    """By the grammar where it can tell, else by words."""
    told = by_grammar(edit, caption)
    return by_words(edit, caption) >= 1 if told is None else told


def by_words(edit: Edit, caption: str) -> float:
    """How much of what the edit did is undone by the reverse's words, 0 to 1: what the caption lost comes back in it;
    where it lost nothing, what it gained is taken away."""
    return coverage(read(edit.reverse_instruction, edit.edited_caption, caption))


def coverage(reading: Reading) -> float:
    """Of what the caption after has more, the part that the instruction asks for; of what it has less, whether
    anything was asked to go, where nothing comes."""
    if reading.invented or not reading.acts:
        return 0.0
    if reading.gained:
        return len(reading.gained & reading.brings) / len(reading.gained)
    return 1.0
