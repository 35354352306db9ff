"""`uip2p evaluate`: a benchmark's run into a folder, or the quick figures of one model against exact answers."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import transformers
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.evaluate import benchmark, reversibility
from uip2p.evaluate.cases import Case, suite_cases
from uip2p.evaluate.quick import edit_cases, evaluate_scenes
from uip2p.evaluate.retrieval import as_text as as_lines
from uip2p.evaluate.retrieval import evaluate_clip
from uip2p.evaluate.scene_tables import Sample, as_text, group
from uip2p.evaluate.suites import SUITES
from uip2p.images import grid, save_image, write_atomic
from uip2p.models.clip import load_clip

QUICK = ("scenes", "photos", "clip", "reversibility")  # suites that print one model's figures, and write no folder
# Of options that are absent unless given, so that one which a suite does not take is noticed.
DEFAULTS: dict[str, Any] = {
    "steps": None, "guidance": None, "image_guidance": None, "count": 270, "sessions": 90, "split": "test",
    "judge": None, "photos": [],
}  # fmt: skip
RANKS = {"best": 0.0, "upper quarter": 0.25, "median": 0.5, "lower quarter": 0.75, "worst": 1.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options = benchmark.Options(parser)
    add = parser.add_argument_group("what is measured").add_argument
    add("--suite", choices=(*SUITES, "clip", "reversibility"), default="scenes",
        help="scenes: drawn, with exact answers; photos: tones of photographs; magicbrush; ip2p: InstructPix2Pix's "
        "curve; steps, ablation: on another suite's questions; vlm: a judge that looks at edits; clip: what a CLIP "
        "folder knows of the world; reversibility: whether `uip2p edit --check` foretells success (default: scenes)")
    add("--model", action="append", metavar="[NAME=]SPEC",
        help="an editor: 'mini' (the default), a folder, a hub id or a .safetensors file; diffusers:ID, its own "
        "pipeline; endpoint:URL#MODEL; folder:DIR, outputs made elsewhere. Again for every further row")
    add("--seed", type=int, default=0, help="of the drawn world and of the edits' noise (default: 0)")
    add("--batch-size", type=int, default=16, metavar="N", help="changes the speed, never a result (default: 16)")
    sampling = options.of("sampling: what is given here goes before the suite's protocol", *SUITES, "reversibility")
    sampling.add_argument("--steps", type=int, help="default: the protocol's, else the model's own")
    sampling.add_argument("--guidance", type=float, metavar="S_T", help="of the text (default: likewise)")
    sampling.add_argument("--image-guidance", type=float, metavar="S_I", help="of the image (default: likewise)")
    drawn = options.of("suites scenes and photos, and what else is drawn", "scenes", "photos")
    more = drawn.to("scenes", "photos", "clip", "reversibility")
    more.add_argument("--count", type=int, metavar="N", help="single edits, as many of each kind (default: 270)")
    drawn.add_argument("--sessions", type=int, metavar="N", help="sessions of three edits in a row (default: 90)")
    drawn.to("scenes", "photos", "clip", "reversibility", "magicbrush").add_argument(
        "--split", help="train, validation, test, composition or language; magicbrush: test, dev (default: test)")
    drawn.to("scenes", "photos", "reversibility").add_argument(
        "--judge", metavar="DIR", help="a CLIPModel folder that no loss has used (default: the shipped judge)")
    drawn.to("photos").add_argument("--photos", type=Path, nargs="*", metavar="DIR",
        help="folders of photographs with metadata.jsonl, beside scikit-image's (suite photos)")
    quick = parser.add_argument_group("quick figures of one model, without --out: scenes, photos, clip, reversibility")
    quick.add_argument("--json", type=Path, metavar="FILE",
        help="where the result goes; each case's row goes beside it, into the same name .jsonl")
    quick.add_argument("--pictures", type=Path, metavar="DIR",
        help="where grids of the best, median and worst edits of each kind go (scenes and photos)")
    benchmark.add_arguments(options)
    reversibility.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    quiet_libraries()
    folder = hasattr(args, "out")
    args.model = args.model or ([] if args.suite == "vlm" else ["mini"])
    benchmark.check_arguments(args)
    for name, value in DEFAULTS.items():
        if not hasattr(args, name):
            setattr(args, name, value)
    if args.count < 1 or args.sessions < 0 or args.batch_size < 1:
        raise UserError("--count and --batch-size start at 1, --sessions at 0")
    reversibility.check_arguments(args)
    check_quick(args, folder)
    if folder:
        args.judge = args.judge or shipped_judge()
        benchmark.run(args)
        return
    if args.json and not args.json.parent.is_dir():
        raise UserError(f"{args.json}: the folder {args.json.parent} does not exist. Create it first.")
    if args.suite == "clip":
        evaluate_encoder(args)
        return
    if args.suite == "reversibility":
        reversibility.run(args, args.judge or shipped_judge())
        return
    rows = args.json.with_suffix(".jsonl") if args.json else None
    result = evaluate_scenes(
        args.model[0], suite=args.suite, photo_folders=args.photos, split=args.split, seed=args.seed, count=args.count,
        session_count=args.sessions, judge=args.judge or shipped_judge(), steps=args.steps, guidance=args.guidance,
        image_guidance=args.image_guidance, batch_size=args.batch_size, out_json=args.json, rows_jsonl=rows,
        command=shlex.join(["uip2p", *sys.argv[1:]]),
    )  # fmt: skip
    print(as_text(result["summary"]))
    if rows:
        print(f"\n{args.json}: all figures and how they were made; {rows.name}: a row a case")
    if args.pictures:
        editor, settings = Editor.from_pretrained(args.model[0]), result["settings"]
        cases = suite_cases(
            args.suite, args.split, args.seed, args.count, args.sessions, settings["image_size"], args.photos
        )
        for path in draw_pictures(editor, cases, result["samples"], settings, args.pictures):
            print(path)


def check_quick(args: argparse.Namespace, folder: bool) -> None:
    """UserError: options of a run's folder and of the quick figures of one model, mixed."""
    if folder:
        for flag, value in (("--json", args.json), ("--pictures", args.pictures)):
            if value:
                raise UserError(f"{flag} goes without --out: the run's folder has the figures and every picture.")
        if args.suite in ("clip", "reversibility"):
            raise UserError(f"--out: suite {args.suite} writes no run's folder. Give --json FILE.")
        return
    if args.suite not in QUICK:
        raise UserError(f"suite {args.suite} writes a run's folder: give --out RUN.")
    if len(args.model) > 1:
        raise UserError("several --model: rows of a table need a run's folder, --out RUN.")
    if args.suite not in ("scenes", "photos") and args.pictures:
        raise UserError("--pictures is for the suites scenes and photos: leave it out.")


def evaluate_encoder(args: argparse.Namespace) -> None:
    """--suite clip: --model is a CLIPModel folder, --count the captions to tell apart."""
    result = evaluate_clip(load_clip(args.model[0]), args.split, args.seed, args.count)
    print(as_lines(result))
    if args.json:
        write_atomic(args.json, (json.dumps(result | {"model": args.model[0]}, indent=2) + "\n").encode())


def quiet_libraries() -> None:
    """One progress bar, ours, instead of one for every file that is read."""
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def shipped_judge() -> Path | None:
    """The judge in the package; None if this installation has none, and the table then has no CLIP columns."""
    folder = Path(__file__).parent.parent / "assets" / "clip-judge"
    return folder if folder.is_dir() else None


def inside(sample: Sample) -> float:
    """A sample's own inside error; 0 where nothing had to change (three turns may lead back to the start)."""
    row = sample["rows"]["model"]
    return row["inside_sum"] / row["wanted_sum"] if row["wanted_sum"] else 0.0


def ranked(samples: list[Sample]) -> dict[str, Sample]:
    """Best, quartiles and worst by inside error: chosen by rank, so that nobody picks. Few samples: each once."""
    order = sorted(samples, key=lambda sample: (inside(sample), sample["case"]))
    places = {round(rank * (len(order) - 1)): name for name, rank in RANKS.items()}
    return {name: order[place] for place, name in places.items()}


def draw_pictures(
    editor: Editor, cases: list[Case], samples: list[Sample], settings: dict[str, Any], folder: Path
) -> list[Path]:
    """One PNG a kind: source | exact answer | output with its instruction and inside error, from best to worst.

    The edits are made again, which gives the same pictures: their noise is a function of the case."""
    folder.mkdir(parents=True, exist_ok=True)
    by_name = {case.name: case for case in cases}
    paths = []
    for kind, of_kind in group(samples, lambda sample: sample["kind"]).items():
        chosen = ranked(of_kind)
        batch = [by_name[sample["case"]] for sample in chosen.values()]
        answers = [case.draw() for case in batch]
        outputs = edit_cases(editor, batch, np.stack([answer.source for answer in answers]), settings)
        pictures, labels = [], []
        for (rank, sample), case, answer, output in zip(chosen.items(), batch, answers, outputs, strict=True):
            width = 256 if len(case.instructions) == 1 else 512  # what is asked has to fit under a picture
            pictures += [enlarged(picture, width) for picture in (answer.source, answer.target, output)]
            labels += ["; ".join(case.instructions), "exact answer", f"{rank}: inside error {inside(sample):.2f}"]
        paths.append(save_image(grid(pictures, 3, labels), folder / f"{kind}.png"))
    return paths


def enlarged(picture: np.ndarray, least: int) -> np.ndarray:
    """Small pictures drawn large enough to look at, pixel for pixel."""
    factor = max(1, -(-least // picture.shape[1]))
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))
