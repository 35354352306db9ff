"""`uip2p edit`: one picture, a picture in several turns, or a folder of pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uip2p.editing.options import add_model, add_place, load
from uip2p.errors import UserError
from uip2p.provenance import options as provenance

if TYPE_CHECKING:
    from uip2p.provenance.writer import Writer

EXAMPLES = """
examples:
  uip2p edit photo.jpg "make it black and white" -o grey.png
  uip2p edit photo.jpg --turns instructions.txt -o out.png     one instruction a line; also out-1.png, out-2.png …
  uip2p edit --records pictures/metadata.jsonl -o edited       rows with file_name and instruction; resumes
  uip2p edit scene.png "make the car blue" -o blue.png --check       has it worked? its own reverse tells
  uip2p edit scene.png "make the car blue" -o blue.png --best-of 4   four seeds, the best by that measure
  uip2p edit photo.jpg "make it winter" -o out.png --model instruct-pix2pix --dtype fp16 --offload model   a small GPU
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("picture", nargs="?", metavar="PICTURE", help="PNG, JPEG, WebP, GIF, BMP or TIFF, any size")
    parser.add_argument("instruction", nargs="?", metavar="INSTRUCTION", help='such as "make the car blue"')
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="result; a folder with --records")
    parser.add_argument("--turns", metavar="FILE", help="instructions, one a line, each on the result before it")
    parser.add_argument("--records", metavar="FILE", help="a metadata.jsonl: edit every row's picture")
    add_model(parser)
    parser.add_argument("--seed", type=int, default=0, help="another seed, another try (default: 0)")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's)")
    parser.add_argument("--guidance", type=float, help="how strongly to follow the instruction (default: the model's)")
    parser.add_argument("--image-guidance", type=float, help="how closely to keep the picture (default: the model's)")
    parser.add_argument("--scheduler", help="ddim, euler, euler-ancestral, dpm or lcm (default: the model's)")
    parser.add_argument("--batch-size", type=int, default=8, help="pictures at a time with --records (default: 8)")
    parser.add_argument("--no-residual", action="store_true", help="do not bring a large picture's own detail back")
    add_place(parser)
    check = parser.add_argument_group("check", "undo each edit by its reverse instruction, and see what comes back")
    check.add_argument("--check", action="store_true", help="say how reversible each edit is, and if it likely failed")
    check.add_argument("--best-of", type=int, default=1, metavar="N", help="check the seeds SEED to SEED+N−1, keep one")
    check.add_argument("--reverse", metavar="TEXT", help="the reverse instruction (default: worked out by the grammar)")
    check.add_argument("--caption", metavar="TEXT", help="of PICTURE: says what would have to be guessed")
    check.add_argument("--edited-caption", metavar="TEXT", help="of the result (default: worked out by the grammar)")
    check.add_argument("--clip", help="CLIPModel folder or hub id (default: the shipped one, for a shipped model)")
    check.add_argument("--save-reverse", metavar="FILE", help="keep the picture that the reverse brings back")
    provenance.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as one JSON object")


def run(args: argparse.Namespace) -> None:
    options = {
        "seed": args.seed, "steps": args.steps, "guidance_scale": args.guidance,
        "image_guidance_scale": args.image_guidance, "scheduler": args.scheduler, "residual": not args.no_residual,
    }  # fmt: skip
    if args.tiny_decoder is not None:
        options["draft"] = True
    if args.batch_size < 1:
        raise UserError(f"--batch-size is {args.batch_size}: give a whole number from 1 up.")
    options |= check_options(args)
    if args.records is not None:
        if args.picture is not None or args.turns is not None:
            raise UserError("--records edits a folder: leave out PICTURE, INSTRUCTION and --turns.")
        run_records(args, options, provenance.from_args(args))
        return
    if args.picture is None:
        raise UserError('what to edit? Give PICTURE "INSTRUCTION", or --records FILE. See uip2p edit --help.')
    if (args.instruction is None) == (args.turns is None):
        raise UserError('give either an INSTRUCTION, such as "make the car blue", or --turns FILE.')
    run_picture(args, options, provenance.from_args(args))


def check_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `Editor.edit` for a check, none if none is asked for. UserError: what does not go together."""
    if not 1 <= args.best_of <= 64:
        raise UserError(f"--best-of is {args.best_of}: give a whole number from 1 to 64.")
    of_one = {"--reverse": args.reverse, "--edited-caption": args.edited_caption}
    of_picture = {"--caption": args.caption, "--save-reverse": args.save_reverse}
    checked = args.check or args.best_of > 1
    for name, value in {**of_one, **of_picture, "--clip": args.clip}.items():
        if value is None:
            continue
        if not checked:
            raise UserError(f"{name} is for a check: add --check, or --best-of N.")
        if args.records is not None and name != "--clip":
            raise UserError(f"{name} is for one picture: with --records, put reverse_instruction, caption and "
                            "edited_caption into the rows.")  # fmt: skip
        if args.turns is not None and name in of_one:
            raise UserError(f"{name} is for one INSTRUCTION: with --turns, leave it to the grammar.")
    return {"check": True, "best_of": args.best_of, "clip": args.clip} if checked else {}


def run_picture(args: argparse.Namespace, options: dict[str, Any], writer: Writer) -> None:
    """One picture, one turn or several. All that can be wrong is found before the model is loaded."""
    from uip2p.editing.batch import asdict_without_image
    from uip2p.editing.instructions import check_instruction
    from uip2p.editing.reversibility import Words, check_words, load_encoder
    from uip2p.images import check_writable, load_image
    from uip2p.provenance.writer import model_name

    turns = [args.instruction] if args.turns is None else read_turns(Path(args.turns))
    out = check_writable(args.out)
    between = of_turns(out, turns) if args.turns is not None else []
    undone = [check_writable(args.save_reverse)] if args.save_reverse is not None else []
    undone = of_turns(undone[0], turns) if undone and args.turns is not None else undone
    if shared := {out, *between} & set(undone):
        raise UserError(f"--save-reverse {shared.pop()}: this is the name of the result. Give another.")
    for path in (out, *between, *undone):
        if path.exists() and Path(args.picture).exists() and path.samefile(args.picture):
            raise UserError(f"{path}: this is the picture to edit. Give the result another name.")
    picture = load_image(args.picture)
    editor = load(args)
    words: dict[str, Any] = {"reverse": args.reverse, "caption": args.caption, "edited_caption": args.edited_caption}
    for turn in turns:
        text = check_instruction(turn, editor.parts)
        if options.get("check"):
            check_words(text, Words(**words), editor.parts)
    if options.get("check"):
        load_encoder(args.clip, editor)

    done = []
    model, source = model_name(editor), Path(args.picture)
    for turn, instruction in enumerate(turns):
        edited = editor.edit(picture, instruction, **options, **words)[0]
        picture, made = edited.image, writer.made(edited, model)
        if turn == len(turns) - 1:
            writer.save(picture, out, made, source)
        if between:
            source = writer.save(picture, between[turn], made, source)
        if edited.check and undone:
            back = writer.made(edited, model, edited.check.reverse_instruction)
            writer.save(edited.check.reversed, undone[turn], back)
        if edited.check and words["caption"]:
            words["caption"] = edited.check.edited_caption  # what the next turn starts from
        done.append({"out": str(between[turn] if between else out), **asdict_without_image(edited)})
        if not args.json:
            print(describe(done[-1], picture.size))

    if args.json:
        about = {"picture": args.picture, "out": str(out), "model": args.model, "size": list(picture.size)}
        print(json.dumps({**about, "turns": done}, ensure_ascii=False))


def run_records(args: argparse.Namespace, options: dict[str, Any], writer: Writer) -> None:
    from uip2p.editing.batch import edit_records, read_rows

    read_rows(Path(args.records), bool(options.get("check")))  # before the model is loaded
    editor = load(args)
    summary = edit_records(
        editor, args.records, args.out, batch_size=args.batch_size, quiet=args.json, writer=writer, **options
    )
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


def of_turns(path: Path, turns: list[str]) -> list[Path]:
    """out.png -> out-1.png, out-2.png, …"""
    return [path.with_name(f"{path.stem}-{turn}{path.suffix}") for turn in range(1, len(turns) + 1)]


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
    """A line for a person, and one more for a check."""
    width, height = done["working_size"]
    text = f"{done['out']}: {done['instruction']} · {size[0]}×{size[1]}"
    if tuple(done["working_size"]) != tuple(size):
        text += f", edited at {width}×{height}"
        text += "; fine detail kept where the edit left it alone" if done["residual"] else ", resized"
    text += f" · {done['changed']:.0%} changed · {done['seconds']:.1f} s"
    if done["changed"] < 0.002:
        text += "\n  Hardly anything changed: raise --guidance, lower --image-guidance, or try another --seed."
    return text + describe_check(done) if "reversibility" in done else text


def describe_check(done: dict[str, Any]) -> str:
    text = f"\n  check: reversibility {done['reversibility']:.2f} · direction {done['direction']:.2f}"
    text += f" · score {done['score']:.2f}, undone by '{done['reverse_instruction']}'"
    if done["guessed"]:
        text += f" (guessed from the picture: {', '.join(f'{what} {is_}' for what, is_ in done['guessed'].items())})"
    if several := done.get("candidates"):
        scores = ", ".join(f"{one['score']:.2f}" for one in several)
        text += f"\n  seed {done['seed']}, the best of {len(several)} (scores {scores})"
    if done["likely_failed"]:
        text += "\n  This edit likely failed: try --best-of 4, another --seed or other words."
    return text
