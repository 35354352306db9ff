"""`uip2p scenes`: pictures, instructions and exact answers of the miniature world in a folder anyone can read."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from uip2p.errors import UserError
from uip2p.scenes.answers import Answer, answer
from uip2p.scenes.edits import Edit
from uip2p.scenes.world import SPLITS, World

FOLDERS = {"file_name": "images", "target_file_name": "targets", "mask_file_name": "masks"}
OURS = {*FOLDERS.values(), "metadata.jsonl", "contact_sheet.png"}
SHEET_CASES, SHEET_COLUMNS, SHEET_PICTURE = 60, 3, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", default="test", help=f"one of {', '.join(SPLITS)} (default: test)")
    parser.add_argument("--seed", type=int, default=0, help="any integer: another seed, other pictures (default: 0)")
    parser.add_argument("--count", type=int, default=64, help="how many edits (default: 64)")
    parser.add_argument("--size", type=int, default=64, help="pixels on a side, 16 to 1024 (default: 64)")
    parser.add_argument("--kinds", help="only these kinds, in turn, such as color,add (default: all, by weight)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")


def run(args: argparse.Namespace) -> None:
    world, kinds = check(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{args.out.name}-", dir=args.out.parent))
    try:
        work.chmod(0o755)
        write(world, args.count, kinds, work)
        put_in_place(work, args.out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{args.count} edits of split {args.split}, seed {args.seed}, in {args.out}. "
          f"Look at {args.out / 'contact_sheet.png'}")


def check(args: argparse.Namespace) -> tuple[World, list[str] | None]:
    """The world and the kinds that are asked for, or a UserError."""
    world = World(args.seed, args.split, args.size)
    if args.count < 1:
        raise UserError(f"--count must be at least 1, not {args.count}")
    if not 16 <= args.size <= 1024:
        raise UserError(f"--size must be from 16 to 1024, not {args.size}")
    kinds = None
    if args.kinds is not None:
        kinds = [kind.strip() for kind in args.kinds.split(",")]
        for kind in kinds:
            world.check_kind(kind)
    check_folder(args.out)
    return world, kinds


def check_folder(out: Path) -> None:
    """Only a new or empty folder may be written, or one that this command wrote."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out}: is a file. Name a folder")
    names = {path.name for path in out.iterdir()}
    if names and not (names <= OURS and _is_ours(out / "metadata.jsonl")):
        raise UserError(f"--out {out}: has other things in it ({', '.join(sorted(names)[:3])}, …). Name a new folder")


def _is_ours(metadata: Path) -> bool:
    try:
        with metadata.open(encoding="utf-8") as lines:
            return set(FOLDERS) <= set(json.loads(lines.readline()))
    except (OSError, ValueError, TypeError):
        return False


def put_in_place(work: Path, out: Path) -> None:
    """Move the finished folder to where it belongs; what was there before goes last."""
    old = work.with_name(work.name + "-old")
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def write(world: World, count: int, kinds: list[str] | None, out: Path) -> None:
    for folder in FOLDERS.values():
        (out / folder).mkdir()
    sheet: list[tuple[Edit, Answer]] = []
    with (out / "metadata.jsonl").open("w", encoding="utf-8") as metadata:
        for index in tqdm(range(count), desc="drawing", unit=" edits"):
            edit = world.edit(index, kinds[index % len(kinds)] if kinds else None)
            drawn = answer(edit, world.size)
            names = {column: f"{folder}/{index:05d}.png" for column, folder in FOLDERS.items()}
            pictures = (drawn.source, drawn.target, drawn.mask.astype(np.uint8) * 255)
            for name, picture in zip(names.values(), pictures, strict=True):
                Image.fromarray(picture).save(out / name)
            row = {**names, "kind": edit.kind, "caption": edit.caption, "instruction": edit.instruction,
                   "edited_caption": edit.edited_caption, "reverse_instruction": edit.reverse_instruction,
                   "split": world.split, "seed": world.seed, "index": index}
            metadata.write(json.dumps(row) + "\n")
            if index < SHEET_CASES:
                sheet.append((edit, drawn))
    contact_sheet(sheet).save(out / "contact_sheet.png")


def contact_sheet(cases: list[tuple[Edit, Answer]], columns: int = SHEET_COLUMNS) -> Image.Image:
    """source | target | mask of every case with its instruction, `columns` cases in a row."""
    side, gap, text, line = SHEET_PICTURE, 4, 44, 17
    columns = min(columns, len(cases))
    width, height = 3 * side + 2 * gap + 24, side + text + 16
    sheet = Image.new("RGB", (24 + columns * width, 24 + -(-len(cases) // columns) * height), (226, 229, 235))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for i, (edit, drawn) in enumerate(cases):
        x, y = 24 + i % columns * width, 20 + i // columns * height
        for picture in (drawn.source, drawn.target, drawn.mask.astype(np.uint8) * 255):
            resample = Image.Resampling.NEAREST if len(picture) < side else Image.Resampling.LANCZOS
            sheet.paste(Image.fromarray(picture).resize((side, side), resample).convert("RGB"), (x, y))
            x += side + gap
        x -= 3 * (side + gap)
        words = textwrap.wrap(f"{edit.kind}: {edit.instruction}", 56)[:2]
        for number, words_of_line in enumerate(words):
            pen.text((x, y + side + 5 + number * line), words_of_line, fill="black", font=font)
    return sheet
