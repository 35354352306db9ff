"""Do a model's words look at the thing that changes? Their maps beside the drawn world's exact masks, as a table.

    python tools/looking.py --model mini --seed 7 --count 400

peak: how often the map is highest inside the mask. weight: its mean inside the mask over its mean. A word that looks
anywhere has a peak of the mask's area, and a weight of 1.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.scenes.answers import answer
from uip2p.scenes.vocabulary import COLORS, KINDS
from uip2p.scenes.world import World

EDITS = ("color", "remove", "replace", "add")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=400)
    args = parser.parse_args()
    world = World(args.seed, args.split)
    edits = [world.edit(index, EDITS[index % len(EDITS)]) for index in range(args.count)]
    answers = [answer(edit) for edit in edits]
    pictures = [Image.fromarray(one.source) for one in answers]
    found = Editor.from_pretrained(args.model).edit(pictures, [edit.instruction for edit in edits], attention=True)
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for edit, one, edited in zip(edits, answers, found, strict=True):
        for looked in edited.attention:
            rows[edit.kind, kind_of(looked.word)].append(measure(looked.map, one.mask))
    print("| edit | words | n | peak | weight | area |\n|---|---|---|---|---|---|")
    for (edit_kind, words), values in sorted(rows.items()):
        peak, weight, area = np.mean(values, axis=0)
        print(f"| {edit_kind} | {words} | {len(values)} | {peak:.2f} | {weight:.1f} | {area:.2f} |")


def kind_of(word: str) -> str:
    return "things" if word in KINDS else "colours" if word in COLORS else "others"


def measure(looked: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Peak, weight, area: of a map [h, w] and a mask bool [H, W]."""
    whole = np.asarray(Image.fromarray(looked).resize(mask.shape[::-1], Image.Resampling.BICUBIC))
    return float(mask.flat[whole.argmax()]), float(whole[mask].mean() / whole.mean()), float(mask.mean())


if __name__ == "__main__":
    main()
