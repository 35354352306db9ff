"""Does a check tell whether an edit has worked? Several candidates a case, each checked, beside the oracle's word.

`uip2p edit --check` knows no answer; here every case has one. So the check's three figures can be held against success:
as predictors of it (ROC AUC), as a choice among candidates (best of N), and as an alarm (`likely_failed_below`). The
figures themselves are in prediction.py.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from uip2p.editing.editor import Editor
from uip2p.editing.reversibility import Words, candidates, default_encoder
from uip2p.errors import UserError
from uip2p.evaluate.cases import Case, scene_cases
from uip2p.evaluate.measure import MEASUREMENTS, Measure
from uip2p.evaluate.prediction import (
    LEAST,
    PRECISION,
    PREDICTORS,
    alarm,
    as_line,
    as_text,
    calibrate,
    column,
    summarise,
)
from uip2p.evaluate.quick import sampling_settings
from uip2p.evaluate.rows import append_rows, commit, digest, fingerprint, noise_seed, read_rows, versions
from uip2p.images import write_atomic
from uip2p.models.clip import Clip, load_clip
from uip2p.models.folder import resolve
from uip2p.models.parts import WEIGHTS
from uip2p.models.settings import save_settings
from uip2p.scenes.answers import Answer
from uip2p.scenes.world import World

VERDICTS = ("success", "halfway", "judge_success")  # of `measure.Measure`, kept in the rows
CHECKS = 1  # to be raised whenever a check comes to mean something else: older rows are then made again

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("suite reversibility").add_argument
    add("--candidates", type=int, help="edits a case, of as many seeds, 1 to 16 (default: 4)")
    add("--with-captions", action="store_true", help="check with the pictures' captions, and not the instruction alone")
    add("--calibrate", action="store_true", help="on validation: set the model's `likely_failed_below` (uip2p.json)")


def check_arguments(args: argparse.Namespace) -> None:
    """UserError: options of this suite for another, or the other way round."""
    ours = {"--candidates": args.candidates, "--with-captions": args.with_captions, "--calibrate": args.calibrate}
    given = [name for name, value in ours.items() if value is not None and value is not False]
    if args.suite != "reversibility":
        if given:
            raise UserError(f"{given[0]} is for --suite reversibility, not {args.suite}.")
        return
    if args.candidates is not None and not 1 <= args.candidates <= 16:
        raise UserError(f"--candidates is {args.candidates}: give a whole number from 1 to 16.")
    if args.calibrate and args.split != "validation":
        raise UserError(f"--calibrate on split {args.split!r} would fit what is to be tested: give --split validation.")


def run(args: argparse.Namespace, judge: Path | str | None) -> None:
    """--suite reversibility."""
    rows = args.json.with_suffix(".jsonl") if args.json else None
    result = evaluate_reversibility(
        args.model[0], clip=getattr(args, "clip", None), judge=judge, captions=args.with_captions,
        split=args.split, seed=args.seed, count=args.count, several=args.candidates or 4, steps=args.steps,
        guidance=args.guidance, image_guidance=args.image_guidance, batch_size=args.batch_size, rows_jsonl=rows,
    )  # fmt: skip
    result["command"] = shlex.join(["uip2p", *sys.argv[1:]])
    print(as_text(result["summary"]))
    if args.calibrate:
        print(calibrate_model(args.model[0], result))
    if args.json:
        write_atomic(args.json, json.dumps({k: v for k, v in result.items() if k != "rows"}, indent=1).encode() + b"\n")


def evaluate_reversibility(
    model: str | Path,
    *,
    clip: str | Path | None = None,  # the encoder that checks; None: the shipped one, for a shipped model
    judge: str | Path | None = None,  # another CLIPModel folder, which takes no part in checking; None: no judge
    captions: bool = False,  # whether a check is told the captions, or works from the instruction alone
    split: str = "test",
    seed: int = 0,
    count: int = 270,
    several: int = 4,  # candidates a case
    steps: int | None = None,
    guidance: float | None = None,
    image_guidance: float | None = None,
    batch_size: int = 16,
    rows_jsonl: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Edits, undoes and measures `several` candidates of every case -> {"summary": see `summarise`, "rows", …}.

    rows_jsonl: a line is added for every case as it is done; lines of an earlier run with the same settings are used
    again. UserError: no such split, model or encoder, or a judge that is the encoder itself.
    """
    editor = Editor.from_pretrained(model)
    clip = default_encoder(str(model)) if clip is None else clip
    encoder, eye = load_clip(clip, editor.device), load_clip(judge, editor.device) if judge else None
    prints = {"clip": fingerprint(Path(clip)), "judge": fingerprint(Path(judge)) if judge else None}
    if prints["clip"] == prints["judge"]:
        raise UserError(f"--judge {judge}: the encoder that checks cannot judge its own choice. Give another CLIP.")
    settings = {
        **sampling_settings(editor, seed, steps, guidance, image_guidance), **prints, "model": weights_of(model),
        "image_size": editor.settings.image_size, "split": split, "several": several, "captions": captions,
        "measurements": MEASUREMENTS, "checks": CHECKS,
    }  # fmt: skip
    cases = list(scene_cases(World(seed, split, editor.settings.image_size), count))
    rows = score(editor, encoder, eye, cases, settings, batch_size, Path(rows_jsonl) if rows_jsonl else None, progress)
    return {
        "model": str(model), "commit": commit(), "settings": settings, "count": count, "versions": versions(),
        "device": str(editor.device), "summary": summarise(rows, editor.settings.likely_failed_below), "rows": rows,
    }  # fmt: skip


def weights_of(model: str | Path) -> str:
    """Fingerprint of a model's parts but not of its uip2p.json: to calibrate a model does not make it another one."""
    folder = resolve(model)
    return digest({part: fingerprint(folder / part) for part in (*WEIGHTS, "tokenizer", "scheduler")})


def score(
    editor: Editor, clip: Clip, judge: Clip | None, cases: Sequence[Case], settings: dict[str, Any], batch_size: int,
    rows_jsonl: Path | None, progress: bool = True,
) -> list[Row]:  # fmt: skip
    """Cases -> their rows, in order: read from the file where known, else made and added to it."""
    known, done = read_rows(rows_jsonl), dict[str, Row]()
    with tqdm(total=len(cases), desc="editing and undoing", unit="case", disable=not progress) as bar:

        def unknown() -> Iterator[tuple[Case, Answer, str]]:
            for case in cases:
                drawn = case.draw()
                key = digest({**settings, "case": case.digest(drawn)})
                if key in known:
                    done[case.name] = known[key]
                    bar.update()
                else:
                    yield case, drawn, key

        todo = unknown()
        while chunk := list(islice(todo, max(1, batch_size // settings["several"]))):
            batch, answers, keys = zip(*chunk, strict=True)
            made = measure(editor, clip, judge, batch, answers, settings)
            new = [{"key": key, **row} for key, row in zip(keys, made, strict=True)]
            append_rows(rows_jsonl, new)
            done |= {row["case"]: row for row in new}
            bar.update(len(chunk))
    return [done[case.name] for case in cases]


def measure(
    editor: Editor, clip: Clip, judge: Clip | None, cases: Sequence[Case], answers: Sequence[Answer],
    settings: dict[str, Any],
) -> list[Row]:  # fmt: skip
    """All candidates of a batch of cases, checked and measured. One row a case, its "candidates" in order of seed."""
    found = candidates(
        editor, clip, [Image.fromarray(drawn.source) for drawn in answers], [case.instructions[0] for case in cases],
        [noise_seed(settings["seed"], case.name, 0) for case in cases],
        [Words(caption=case.caption) if settings["captions"] else Words() for case in cases],
        best_of=settings["several"],
        **{name: settings[name] for name in ("steps", "guidance_scale", "image_guidance_scale")},
    )  # fmt: skip
    measured = Measure(cases, answers, judge)
    rows: list[Row] = [{"case": case.name, "kind": case.kind, "candidates": []} for case in cases]
    for number in range(settings["several"]):
        figures = measured(np.stack([np.asarray(several[number].image) for several in found]))
        for row, several, own in zip(rows, found, figures, strict=True):
            check = several[number].check
            assert check
            row |= {"reverse_instruction": check.reverse_instruction, "guessed": check.guessed}
            row["candidates"].append(
                {"seed": check.seed, **{name: getattr(check, name) for name in PREDICTORS},
                 **{name: own[name] for name in VERDICTS if name in own}}
            )  # fmt: skip
    return rows


def calibrate_model(model: str | Path, result: dict[str, Any]) -> str:
    """Writes `likely_failed_below` into the model's uip2p.json, with what it rests on; returns a line to print."""
    rows, folder = result["rows"], resolve(model)
    score_, success = column(rows, "score"), column(rows, "success")
    below = calibrate(score_, success)
    old = Editor.from_pretrained(model).settings
    rests_on = {key: result["settings"][key] for key in ("split", "seed", "steps", "clip", "captions")}
    about = {**old.about, "likely_failed": {**rests_on, "cases": len(rows), "candidates": score_.shape[1]}}
    path = save_settings(replace(old, likely_failed_below=below, about=about), folder)
    if below is None:
        return f"{path}: no threshold: of no {LEAST} edits of low score did {PRECISION:.0%} fail."
    result["summary"]["alarm"] = found = alarm(score_, success, below)
    return f"{path}: likely_failed_below is now {below:.4f}.\n{as_line(found)}"
