"""`uip2p edit`: one picture, a picture in several turns, or a folder of pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from uip2p.errors import UserError

EXAMPLES = """
examples:
  uip2p edit photo.jpg "make it black and white" -o grey.png
  uip2p edit photo.jpg --turns instructions.txt -o out.png     one instruction a line; also out-1.png, out-2.png …
  uip2p edit --records pictures/metadata.jsonl -o edited       rows with file_name and instruction; resumes
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("picture", nargs="?", metavar="PICTURE", help="PNG, JPEG, WebP, GIF, BMP or TIFF, any size")
    parser.add_argument("instruction", nargs="?", metavar="INSTRUCTION", help='such as "make the car blue"')
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="result; a folder with --records")
    parser.add_argument("--turns", metavar="FILE", help="instructions, one a line, each on the result before it")
    parser.add_argument("--records", metavar="FILE", help="a metadata.jsonl: edit every row's picture")
    parser.add_argument("--model", default="mini", help='"mini" (shipped), a folder or a hub id (default: mini)')
    parser.add_argument("--seed", type=int, default=0, help="another seed, another try (default: 0)")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's)")
    parser.add_argument("--guidance", type=float, help="how strongly to follow the instruction (default: the model's)")
    parser.add_argument("--image-guidance", type=float, help="how closely to keep the picture (default: the model's)")
    parser.add_argument("--scheduler", help="ddim, euler, euler-ancestral or dpm (default: the model's)")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--batch-size", type=int, default=8, help="pictures at a time with --records (default: 8)")
    parser.add_argument("--no-residual", action="store_true", help="do not bring a large picture's own detail back")
    parser.add_argument("--json", action="store_true", help="print what was done as one JSON object")


def run(args: argparse.Namespace) -> None:
    options = {
        "seed": args.seed, "steps": args.steps, "guidance_scale": args.guidance,
        "image_guidance_scale": args.image_guidance, "scheduler": args.scheduler, "residual": not args.no_residual,
    }  # fmt: skip
    if args.batch_size < 1:
        raise UserError(f"--batch-size is {args.batch_size}: give a whole number from 1 up.")
    if args.records is not None:
        if args.picture is not None or args.turns is not None:
            raise UserError("--records edits a folder: leave out PICTURE, INSTRUCTION and --turns.")
        run_records(args, options)
        return
    if args.picture is None:
        raise UserError('what to edit? Give PICTURE "INSTRUCTION", or --records FILE. See uip2p edit --help.')
    if (args.instruction is None) == (args.turns is None):
        raise UserError('give either an INSTRUCTION, such as "make the car blue", or --turns FILE.')
    run_picture(args, options)


def run_picture(args: argparse.Namespace, options: dict[str, Any]) -> None:
    """One picture, one turn or several. All that can be wrong is found before the model is loaded."""
    from uip2p.editing.batch import asdict_without_image
    from uip2p.editing.editor import Editor
    from uip2p.editing.instructions import check_instruction
    from uip2p.images import check_writable, load_image, save_image

    turns = [args.instruction] if args.turns is None else read_turns(Path(args.turns))
    out = check_writable(args.out)
    between = [out.with_name(f"{out.stem}-{turn}{out.suffix}") for turn in range(1, len(turns) + 1)]
    between = between if args.turns is not None else []
    for path in (out, *between):
        if path.exists() and Path(args.picture).exists() and path.samefile(args.picture):
            raise UserError(f"{path}: this is the picture to edit. Give the result another name.")
    picture = load_image(args.picture)
    editor = Editor.from_pretrained(args.model, args.device)
    for turn in turns:
        check_instruction(turn, editor.parts)

    done = []
    for turn, instruction in enumerate(turns):
        edited = editor.edit(picture, instruction, **options)[0]
        picture = edited.image
        if between:
            save_image(picture, between[turn])
        done.append({"out": str(between[turn] if between else out), **asdict_without_image(edited)})
        if not args.json:
            print(describe(done[-1], picture.size))
    save_image(picture, out)

    if args.json:
        about = {"picture": args.picture, "out": str(out), "model": args.model, "size": list(picture.size)}
        print(json.dumps({**about, "turns": done}, ensure_ascii=False))


def run_records(args: argparse.Namespace, options: dict[str, Any]) -> None:
    from uip2p.editing.batch import edit_records, read_rows
    from uip2p.editing.editor import Editor

    read_rows(Path(args.records))  # before the model is loaded
    editor = Editor.from_pretrained(args.model, args.device)
    summary = edit_records(editor, args.records, args.out, batch_size=args.batch_size, quiet=args.json, **options)
    if args.json:
        about = {"records": args.records, "out": args.out, "model": args.model}
        counts = {"edited": summary.edited, "skipped": summary.skipped, "failed": summary.failed}
        print(json.dumps({**about, **counts}, ensure_ascii=False))
    else:
        print(f"{args.out}: {summary.edited} edited, {summary.skipped} already there, {len(summary.failed)} failed")
    if summary.failed:
        for failure in summary.failed:
            print(f"{args.records}: row {failure['row']}: {failure['error']}", file=sys.stderr)
        raise UserError(
            f"{args.records}: {len(summary.failed)} rows could not be edited (above). Correct them and run the same "
            "command again: what is done is skipped."
        )


def read_turns(path: Path) -> list[str]:
    """The lines of a text file that are not empty. UserError: none, or no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{path}: cannot be read ({reason}). Give a text file, one instruction a line.") from error
    turns = [line.strip() for line in lines if line.strip()]
    if not turns:
        raise UserError(f"{path}: there is no instruction in it. Write one a line, such as 'make the car blue'.")
    return turns


def describe(done: dict[str, Any], size: tuple[int, int]) -> str:
    """One line for a person."""
    width, height = done["working_size"]
    text = f"{done['out']}: {done['instruction']} · {size[0]}×{size[1]}"
    if tuple(done["working_size"]) != tuple(size):
        text += f", edited at {width}×{height}"
        text += "; fine detail kept where the edit left it alone" if done["residual"] else ", resized"
    text += f" · {done['changed']:.0%} changed · {done['seconds']:.1f} s"
    if done["changed"] < 0.002:
        text += "\n  Hardly anything changed: raise --guidance, lower --image-guidance, or try another --seed."
    return text
