"""`uip2p demo`: the main job on any laptop: edit, learn for a minute, measure, and one page that shows it all."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from skimage.data import astronaut

from uip2p.demo.page import KIND_NAMES, Demo, Shown, html
from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.evaluate.cases import Case, scene_cases, session_cases
from uip2p.evaluate.command import quiet_libraries, shipped_judge
from uip2p.evaluate.quick import edit_cases, evaluate_scenes, sampling_settings
from uip2p.evaluate.rows import commit, noise_seed, versions
from uip2p.images import write_atomic
from uip2p.learning.command import train_recipe
from uip2p.scenes.answers import compare
from uip2p.scenes.edits import WEIGHTS
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.world import World

PHOTO_EDITS = {"make it black and white": "black and white", "make it night": "night"}
LOSSES = {  # as the trainer writes them -> as a person reads them
    "total": "All losses together", "direction": "Direction: changes as the words do",
    "similarity": "Similarity: fits the new caption", "attention": "Attention: looks at the same place",
    "reconstruction": "Reconstruction: the way back", "prior": "Prior: leaves alone what is right",
}  # fmt: skip
TRAINING = """In {seconds} seconds just now, the base, which can draw but has never edited, took {steps} training steps
on {pictures} pictures. Each step edits a picture by its instruction, and edits the result back by the reverse
instruction: the edit has to move the picture as the words moved, to fit the new caption, and to be undone. Nobody ever
shows it an edited picture. The thin line is each step, the thick line a running mean. The editor above has had the same
kind of training, for longer."""

Curves = dict[str, tuple[list[float], list[float]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", type=Path, default=Path("demo"), help="the folder for report.html (default: demo)")
    add("--seconds", type=float, default=60, help="how long to train live; 0 leaves it out (default: 60)")
    add("--model", default="mini", help="the editor to show: a shipped model or a folder (default: mini)")
    add("--seed", type=int, default=1, help="any number gives scenes that nobody has seen (default: 1)")
    add("--count", type=int, default=90, help="edits to score (default: 90)")


def run(args: argparse.Namespace) -> None:
    quiet_libraries()
    if args.count < 1 or args.seconds < 0:
        raise UserError("--count starts at 1, --seconds at 0")
    page = make_report(args.out, args.model, args.seed, args.seconds, args.count, shipped_judge())
    print(f"\nOpen {page} in a browser.")


def make_report(
    out: Path,
    model: str | Path,
    seed: int,
    seconds: float,
    count: int,
    judge: Path | None,
    overrides: Sequence[str] = (),
) -> Path:
    """Draws, edits, trains for about `seconds`, scores, and writes out/report.html. overrides: of the recipe."""
    began = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}). Give another folder with --out.") from error
    with stage("reading the editor"):
        editor = Editor.from_pretrained(model)
    world, settings = World(seed, "test", editor.settings.image_size), sampling_settings(editor, seed)
    with stage("one edit of each kind"):
        edits = show_cases(editor, list(scene_cases(world, len(WEIGHTS))), settings)
    with stage("three edits in a row"):
        turns = show_turns(editor, next(session_cases(world, 1)), settings)
    with stage("a photograph"):
        photos = show_photo(editor, settings)
    curves, training = Curves(), ""
    if seconds:
        with stage(f"learning from the base for {seconds:.0f} seconds"):
            curves, training = learn(out, seconds, overrides)
    with stage(f"scoring {count} edits against their exact answers"):
        result = evaluate_scenes(model, seed=seed, count=count, session_count=0, judge=judge)
    part = result["summary"]["single-turn"]
    facts = {
        "model": f"{model} (weights {result['settings']['model']})", "seed": str(seed),
        "sampling": f"{settings['steps']} steps, guidance {settings['guidance_scale']:g}, "
        f"image guidance {settings['image_guidance_scale']:g}",
        "command": shlex.join(["uip2p", *sys.argv[1:]]), "commit": commit() or "unknown",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
        "took": f"{time.monotonic() - began:.0f} seconds on {editor.device}",
    }  # fmt: skip
    kinds = {KIND_NAMES[kind]: table["model"] for kind, table in part["kinds"].items()} if "kinds" in part else {}
    demo = Demo(edits, turns, photos, curves, training, part["all"], kinds, count, facts)
    return write_atomic(out / "report.html", html(demo).encode())


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Says what is being done, and what it took."""
    began = time.monotonic()
    print(f"· {name} …", flush=True)
    yield
    print(f"  {time.monotonic() - began:.1f} s", flush=True)


def error_left(output: np.ndarray, source: np.ndarray, target: np.ndarray) -> float:
    """The inside error of one edit: 0 exact, 1 as if nothing was done."""
    mask = compare(source, target).mask
    left, wanted = (np.abs(x.astype(float) - target)[mask].sum() for x in (output, source))
    return float(left / wanted) if wanted else 0.0


def show_cases(editor: Editor, cases: list[Case], settings: dict[str, Any]) -> list[Shown]:
    answers = [case.draw() for case in cases]
    outputs = edit_cases(editor, cases, np.stack([answer.source for answer in answers]), settings)
    return [
        Shown(KIND_NAMES[case.kind], case.instructions[0], answer.source, output, answer.target,
              error_left(output, answer.source, answer.target))
        for case, answer, output in zip(cases, answers, outputs, strict=True)
    ]  # fmt: skip


def show_turns(editor: Editor, case: Case, settings: dict[str, Any]) -> list[Shown]:
    """One picture a turn. The noise of a turn is a function of case and turn, so every prefix is the same session."""
    answer, shown = case.draw(), []
    for turn in range(1, len(case.instructions) + 1):
        start = replace(case, instructions=case.instructions[:turn])
        after = edit_cases(editor, [start], answer.source[None], settings)[0]
        error = error_left(after, answer.source, answer.target)
        shown.append(Shown(f"Turn {turn}", start.instructions[-1], answer.source, after, answer.target, error))
    return shown


def show_photo(editor: Editor, settings: dict[str, Any]) -> list[Shown]:
    """Eileen Collins (NASA, public domain; no split that trains has it) in two tones with an exact answer."""
    source, shown = astronaut(), []
    scales = {name: settings[name] for name in ("steps", "guidance_scale", "image_guidance_scale")}
    for instruction, tone in PHOTO_EDITS.items():
        target = apply_tone(source, tone)
        edited = editor(source, instruction, seed=noise_seed(settings["seed"], instruction, 0), **scales)
        after = np.asarray(edited)
        shown.append(Shown(tone.capitalize(), instruction, source, after, target, error_left(after, source, target)))
    return shown


def learn(out: Path, seconds: float, overrides: Sequence[str]) -> tuple[Curves, str]:
    """Train the cycle losses from the base for about `seconds`; the log stays in out/training.jsonl."""
    live = ["train.steps=1000000", "train.schedule=constant", "train.warmup_steps=20", "train.log_every=1",
            "train.validate_every=0", "train.sample_every_images=0", "train.save_every=1000000"]  # fmt: skip
    with TemporaryDirectory(prefix="training-", dir=out) as folder:
        log = Path(folder) / "metrics.jsonl"
        with interrupted(lambda: seconds_trained(log) >= seconds):
            train_recipe("mini-demo", out=Path(folder), overrides=[*live, *overrides])
        rows = [row for row in map(json.loads, log.read_text().splitlines()) if "total" in row]
    write_atomic(out / "training.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    steps = [row["step"] for row in rows]
    used = [name for name in LOSSES if any(row.get(name) for row in rows)]  # a loss of weight 0 is no curve
    curves = {LOSSES[name]: (steps, [row[name] for row in rows]) for name in used}
    last = rows[-1]
    return curves, TRAINING.format(seconds=f"{last['seconds']:.0f}", steps=last["step"], pictures=last["images"])


@contextmanager
def interrupted(enough: Callable[[], bool]) -> Iterator[None]:
    """Interrupts the body as Ctrl-C does, which ends training after a whole step, as soon as `enough()` holds."""
    over, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            if enough():
                done.set()
                signal.raise_signal(signal.SIGINT)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not done.is_set():
            raise  # it was a person
    finally:
        over.set()
        watcher.join()


def seconds_trained(log: Path) -> float:
    """What the last whole row of a training's log says; 0 before there is one."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return json.loads(lines[-1]).get("seconds", 0.0) if lines else 0.0
