"""`uip2p data view`: rows of a run in the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.report.numbers import Row, changes, draw, pictures_of, read_config, shown
from uip2p.instructions.shards import read_rows
from uip2p.instructions.wording import printable
from uip2p.instructions.writer import KINDS


def choose(
    out: Path, count: int = 20, kind: str = "", rejected: bool = False, seed: int = 0, grep: str = ""
) -> list[Row]:
    """Some rows of a run at random, in the source's order. kind: only of this kind. grep: only those with this in a
    text, in any case. rejected: of what was rejected, captions that gave no edit among them."""

    def matching() -> Iterator[Row]:
        for row in read_rows(out, "rejected" if rejected else "edits"):
            texts = (row["caption"], row["instruction"], row["edited_caption"], row["reverse_instruction"])
            if kind in ("", row["kind"]) and any(grep.lower() in text.lower() for text in texts):
                yield row

    return draw(matching(), count, seed)


def show(rows: list[Row], pictures: dict[int, Any], console: Any) -> None:
    """Plain text where nobody watches: no colours, a line a text."""
    from rich.text import Text

    for row in map(shown, rows):
        console.print(Text(f"{row['id']} · {row['kind'] or 'no edit'} · {row['writer']}", style="dim"))
        before, after = changes(row["caption"], row["edited_caption"])
        lines: list[tuple[str, list[tuple[str, str]]]] = [
            ("caption", [(text, "red" if new and after else "") for text, new in before]),
            ("instruction", [(row["instruction"], "bold")]),
            ("edited", [(text, "green" if new else "") for text, new in after]),
            ("reverse", [(row["reverse_instruction"], "")]),
            ("rejected", [(", ".join(row.get("reasons") or ()), "yellow")]),
            ("error", [(row.get("error") or "", "yellow")]),
            ("picture", [(printable(_place(pictures.get(row["row"]))), "dim")]),
        ]
        for name, pieces in lines:
            if any(text for text, _ in pieces):
                line = Text(f"  {name:<12}")
                for number, (text, style) in enumerate(pieces):
                    line.append(" " if number else "")
                    line.append(text, style)
                console.print(line, soft_wrap=not console.is_terminal)
        console.print()


def _place(picture: Any) -> str:
    if picture is None:
        return "not at hand"
    return "inside a file of the run or its source" if isinstance(picture, bytes) else str(picture)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", metavar="OUT", type=Path, help="what uip2p data generate wrote")
    add("-n", type=int, default=20, metavar="ROWS", help="how many (default: 20)")
    add("--kind", choices=(*KINDS, "other"), default="", help="only edits of this kind")
    add("--rejected", action="store_true", help="what was rejected, each with its reasons")
    add("--grep", default="", metavar="WORD", help="only rows with this in one of their texts")
    add("--seed", type=int, default=0, help="of the draw (default: 0)")


def run(args: argparse.Namespace) -> None:
    from rich.console import Console

    if args.n < 1:
        raise UserError(f"-n is {args.n}: give a whole number from 1 up.")
    config = read_config(args.out)
    rows = choose(args.out, args.n, args.kind, args.rejected, args.seed, args.grep)
    if not rows:
        raise UserError(f"{args.out}: there is no such row. Ask for less: without --kind or --grep.")
    show(rows, pictures_of(args.out, config, [row["row"] for row in rows]), Console(highlight=False))
