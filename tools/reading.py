"""Reading rows by hand: draw some at random, look at each with its picture, mark it, print the rates.

    python tools/reading.py draw OUT --count 200 --seed 1 --marks marks.jsonl --sheets sheets/
    python tools/reading.py rates marks.jsonl

`draw` writes a line for each row, its marks null, and contact sheets of ten rows: picture, caption, edit. Whoever reads
fills in the marks (true, false) by the rubric of docs/data.md: instruction, edited_caption, reverse. Texts stay in OUT:
captions have licences of their own. `rates` prints the three shares with 95 % intervals (Wilson), and those by kind.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from uip2p.datasets import open_records
from uip2p.errors import UserError
from uip2p.images import load_image
from uip2p.instructions.shards import read_rows

MARKS = ("instruction", "edited_caption", "reverse")
ROWS, HEIGHT, PICTURE, WIDTH = 10, 190, 260, 1300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("draw").add_argument
    add("out", type=Path)
    add("--count", type=int, default=200)
    add("--seed", type=int, default=0)
    add("--marks", type=Path, required=True)
    add("--sheets", type=Path, required=True)
    actions.add_parser("rates").add_argument("marks", type=Path)
    args = parser.parse_args()
    if args.action == "rates":
        print(rates([json.loads(line) for line in args.marks.read_text(encoding="utf-8").splitlines()]))
    else:
        draw(args.out, args.count, args.seed, args.marks, args.sheets)


def draw(out: Path, count: int, seed: int, marks: Path, sheets: Path) -> None:
    if marks.exists():
        raise UserError(f"{marks}: is there already, perhaps with marks in it. Name another file.")
    source = open_records(out)
    rows = list(read_rows(out))
    chosen = sorted(random.Random(seed).sample(range(len(rows)), min(count, len(rows))))
    sheets.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, index in enumerate(chosen):
        row = {"number": number, "id": rows[index]["id"], "kind": rows[index]["kind"]}
        lines.append(json.dumps(row | {mark: None for mark in MARKS} | {"note": ""}) + "\n")
    marks.write_text("".join(lines), encoding="utf-8")
    for first in range(0, len(chosen), ROWS):
        part = chosen[first : first + ROWS]
        sheet = Image.new("RGB", (WIDTH, HEIGHT * len(part)), "white")
        for at, index in enumerate(part):
            panel = row_panel(first + at, rows[index], load_image(source.record(index).image))
            sheet.paste(panel, (0, at * HEIGHT))
        sheet.save(sheets / f"{first:04d}.png")


def row_panel(number: int, row: dict[str, Any], picture: Image.Image) -> Image.Image:
    panel = Image.new("RGB", (WIDTH, HEIGHT), "white")
    panel.paste(ImageOps.contain(picture, (PICTURE, HEIGHT - 6)), (0, 3))
    pen, font = ImageDraw.Draw(panel), ImageFont.load_default(size=17)
    texts = {f"{number} {row['kind']}": row["caption"], "do": row["instruction"], "then": row["edited_caption"],
             "reverse": row["reverse_instruction"]}
    y = 6
    for name, text in texts.items():
        for line in textwrap.wrap(f"{name}: {text}", 115):
            pen.text((PICTURE + 12, y), line, fill="black" if name != "do" else "#0040c0", font=font)
            y += 21
    return panel


def rates(rows: list[dict[str, Any]]) -> str:
    """A table of the share of rows that are right, with 95 % intervals, whole and by kind."""
    unread = [row["number"] for row in rows if any(row[mark] is None for mark in MARKS)]
    if unread:
        raise UserError(f"{len(unread)} rows are not marked yet, the first is number {unread[0]}.")
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    lines = ["| rows | " + " | ".join(MARKS) + " | all three |", "|---|" + "---|" * (len(MARKS) + 1)]
    for name, part in {f"all {len(rows)}": rows, **{f"{k} {len(kinds[k])}": kinds[k] for k in sorted(kinds)}}.items():
        counts = [sum(row[mark] for row in part) for mark in MARKS]
        counts.append(sum(all(row[mark] for mark in MARKS) for row in part))
        lines.append(f"| {name} | " + " | ".join(share(count, len(part)) for count in counts) + " |")
    return "\n".join(lines)


def share(count: int, of: int, z: float = 1.96) -> str:
    """Per cent with the Wilson interval."""
    p, n = count / of, of
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + side * spread) / (1 + z * z / n) for side in (-1, 1))
    return f"{100 * p:.1f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
