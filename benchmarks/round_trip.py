"""Which test tells a reverse instruction that leads back from one that does not, where the grammar is not asked?

    python benchmarks/round_trip.py CAPTIONS --encoder all-MiniLM-L6-v2      a source of captions, a text encoder

Genuine reverses are those that the grammar wrote and its own round trip confirms. Wrong ones, for the same edit:

    shuffled   the reverse of another edit of the same kind ("make it day" undoes all nights: not of such kinds)
    forward    the instruction itself
    sibling    the reverse of another edit of the same caption
    invented   what it brings in is another word of the same sort (a colour, a thing, a place)

Each test gives a number, higher for a better reverse. Printed: the area under the ROC curve against each sort of wrong
ones, and for the tests that are yes or no what is kept of the genuine and of the wrong ones.

    words      instructions/round_trip.by_words: what the caption lost comes back, what it gained is taken away
    undoes     cos(E(F) − E(R), E(T_ed) − E(T_in))
    leads      cos(E(R), E(T_in)) − cos(E(R), E(T_ed))
    opposed    −cos(E(F), E(R))
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import replace

import numpy as np

from uip2p.datasets import open_captions
from uip2p.instructions.encoder import load_encoder
from uip2p.instructions.grammar import GrammarWriter
from uip2p.instructions.round_trip import by_grammar, by_words
from uip2p.instructions.words import LIGHT, read
from uip2p.instructions.writer import Edit

Pair = tuple[Edit, str]  # an edit and its caption


def genuine(source: str, captions: int, seed: int) -> list[Pair]:
    there = open_captions(source)
    rows = random.Random(seed).sample(range(len(there)), min(captions, len(there)))
    found = {row: there.caption(row) for row in sorted(rows)}
    pairs = [(edit, found[w.row].caption) for w in GrammarWriter(seed=seed).write(found.items()) for edit in w.edits]
    return [pair for pair in pairs if by_grammar(*pair)]


def wrong(pairs: list[Pair], seed: int) -> dict[str, list[Pair]]:
    draw, kinds, siblings = random.Random(seed), defaultdict(list), defaultdict(list)
    brought = defaultdict(set)
    for edit, caption in pairs:
        kinds[edit.kind].append(edit.reverse_instruction)
        siblings[caption].append(edit.reverse_instruction)
        brought[edit.kind] |= read(edit.reverse_instruction, edit.edited_caption, caption).brings - LIGHT

    def other(edit: Edit, choices: list[str]) -> Edit | None:
        choices = sorted({text for text in choices if text != edit.reverse_instruction})
        return replace(edit, reverse_instruction=draw.choice(choices)) if choices else None

    def invented(edit: Edit, caption: str) -> Edit | None:
        reverse = edit.reverse_instruction
        reading = read(reverse, edit.edited_caption, caption)
        brings = sorted(word for word in reading.brings - LIGHT if word in reverse.split())
        if not brings:
            return None
        new = sorted(brought[edit.kind] - {*caption.lower().split(), *edit.edited_caption.lower().split()})
        return replace(edit, reverse_instruction=reverse.replace(brings[0], draw.choice(new))) if new else None

    found: dict[str, list[Pair]] = defaultdict(list)
    for edit, caption in pairs:
        for name, one in (
            ("shuffled", None if edit.kind in ("weather", "time", "style") else other(edit, kinds[edit.kind])),
            ("forward", replace(edit, reverse_instruction=edit.instruction)),
            ("sibling", other(edit, siblings[caption])),
            ("invented", invented(edit, caption)),
        ):
            if one is not None and not by_grammar(one, caption):  # by chance it may be right
                found[name].append((one, caption))
    return found


def by_meaning(vectors: np.ndarray) -> np.ndarray:
    """vectors: unit [4, N, D] of caption, edited caption, instruction, reverse → cos(E(F) − E(R), E(T_ed) − E(T_in)),
    [N]: of two instructions that undo each other, the first points to the edited caption and the second away."""
    before, after, forward, reverse = vectors
    asked, done = forward - reverse, after - before
    lengths = ((asked**2).sum(-1) * (done**2).sum(-1)) ** 0.5
    return (asked * done).sum(-1) / lengths.clip(1e-6)


def area(good: np.ndarray, bad: np.ndarray) -> float:
    """How often a genuine one scores above a wrong one, half for a draw."""
    both = np.concatenate([good, bad])
    order = both[:, None] > np.sort(both)[None]  # small enough: thousands
    rank = order.sum(1) + ((both[:, None] == np.sort(both)[None]).sum(1) - 1) / 2
    return float((rank[: len(good)].sum() - len(good) * (len(good) - 1) / 2) / (len(good) * len(bad)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--captions", type=int, default=600)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)

    def scores(pairs: list[Pair]) -> dict[str, np.ndarray]:
        columns = [[caption for _, caption in pairs], [edit.edited_caption for edit, _ in pairs]]
        columns += [[edit.instruction for edit, _ in pairs], [edit.reverse_instruction for edit, _ in pairs]]
        before, after, forward, reverse = vectors = np.stack([encoder.encode(texts) for texts in columns])
        return {
            "words": np.array([by_words(*pair) for pair in pairs]),
            "undoes": by_meaning(vectors),
            "leads": (reverse * before).sum(-1) - (reverse * after).sum(-1),
            "opposed": -(forward * reverse).sum(-1),
        }

    pairs = genuine(args.source, args.captions, args.seed)
    pairs = random.Random(args.seed).sample(pairs, min(args.edits, len(pairs)))
    sorts = wrong(pairs, args.seed)
    good, bad = scores(pairs), {name: scores(list(some)) for name, some in sorts.items()}
    print(f"{len(pairs)} genuine reverses; wrong: " + ", ".join(f"{len(some)} {name}" for name, some in sorts.items()))
    print("AUC       " + "".join(f"{name:>10}" for name in bad))
    for test in good:
        print(f"{test:<10}" + "".join(f"{area(good[test], bad[name][test]):>10.3f}" for name in bad))
    kept = (good["words"] >= 1).mean()
    print(f"words >= 1: kept of the genuine {kept:.1%}; of the wrong: "
          + ", ".join(f"{name} {(found['words'] >= 1).mean():.1%}" for name, found in bad.items()))  # fmt: skip
    cut = float(np.quantile(good["undoes"], 0.05))
    print(f"undoes >= {cut:.2f}: kept of the genuine 95 %; of the wrong: "
          + ", ".join(f"{name} {(found['undoes'] >= cut).mean():.1%}" for name, found in bad.items()))  # fmt: skip


if __name__ == "__main__":
    main()
