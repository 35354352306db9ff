"""The README's picture: of each kind the edits of least, median and largest inside error; before, after, exact answer.

    python tools/figures.py --model mini --seed 20261125 --count 900 --out docs/images/edits.png

Chosen by rank, so that nobody picks. The rows come from the same cases that `uip2p evaluate` scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from uip2p.editing.editor import Editor
from uip2p.evaluate.cases import suite_cases
from uip2p.evaluate.command import RANKS, enlarged, ranked
from uip2p.evaluate.quick import edit_cases, evaluate_scenes
from uip2p.evaluate.scene_tables import group
from uip2p.images import grid, save_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=20261125)
    parser.add_argument("--count", type=int, default=270)
    parser.add_argument("--ranks", nargs="+", default=["best", "median", "worst"], choices=list(RANKS))
    parser.add_argument("--out", type=Path, default=Path("docs/images/edits.png"))
    args = parser.parse_args()
    result = evaluate_scenes(args.model, seed=args.seed, count=args.count, session_count=0, judge=None)
    editor, settings = Editor.from_pretrained(args.model), result["settings"]
    cases = {c.name: c for c in suite_cases("scenes", "test", args.seed, args.count, 0, settings["image_size"], [])}
    pictures, labels = [], []
    for kind, samples in group(result["samples"], lambda sample: sample["kind"]).items():
        by_rank = ranked(samples)
        for rank in args.ranks:
            case = cases[by_rank[rank]["case"]]
            answer = case.draw()
            output = edit_cases(editor, [case], np.stack([answer.source]), settings)[0]
            pictures += [enlarged(picture, 128) for picture in (answer.source, output, answer.target)]
            labels += [case.instructions[0], f"{kind}, {rank}", "exact answer"]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(save_image(grid(pictures, 3 * len(args.ranks), labels), args.out))


if __name__ == "__main__":
    main()
