"""The miniature world: drawn scenes, and tones of photographs, with exact answers. Any editor can be asked.

Beside the usual figures: success, whether of all that the edit could have come to the output is nearest to what was
asked (see oracle.py), and errors inside and outside the exact mask as ratios of sums. A session's round trip goes
through the autoencoder at every turn, as the editor does.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uip2p.evaluate.asking import Session, Turn
from uip2p.evaluate.cases import Case, suite_cases
from uip2p.evaluate.measure import MEASUREMENTS, Measure
from uip2p.evaluate.rows import digest, identity
from uip2p.evaluate.runs import Run
from uip2p.evaluate.scene_tables import Sample, as_text, summarise
from uip2p.evaluate.suites import Suite
from uip2p.images import to_pil, write_atomic
from uip2p.models.clip import Clip, load_clip
from uip2p.scenes.answers import Answer

# The run's baselines as scene_tables.py calls them.
BESIDE = {"copy-input": "copy-input", "round trip": "round trip", "ceiling": "best possible"}


@dataclass(frozen=True, kw_only=True)
class Scenes(Suite):
    """cases: what is asked. clip: the judge; None: no CLIP figures."""

    cases: tuple[Case, ...]
    clip: Clip | None = None
    prepared: dict[tuple[str, ...], Measure] = field(default_factory=dict, compare=False)

    def sessions(self) -> list[Session]:
        return [Session(case.name, _turns(case)) for case in self.cases]

    def figures(self, turns: Sequence[Turn], outputs: Sequence[Image.Image]) -> list[dict[str, float]]:
        """measure.Measure's: see there. Of the same turns, which every row is asked, the answers are embedded once."""
        key = tuple(turn.key for turn in turns)
        if key not in self.prepared:
            cases = [self._by_key[name] for name in key]
            self.prepared[key] = Measure(cases, [_drawn(case) for case in cases], self.clip)
        size = self.settings["size"]
        pictures = [output if output.size == (size, size) else output.resize((size, size)) for output in outputs]
        return self.prepared[key](np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))

    @functools.cached_property
    def _by_key(self) -> dict[str, Case]:
        return {_key(case, len(case.instructions) - 1): case for case in self.cases}

    def measured(self) -> dict[str, Any]:
        pixels = {"range": "[0, 1]", "resize": "the output to the scene's size, bicubic, PIL, 8 bit"}
        known: dict[str, Any] = {name: pixels for name in ("l1", "l2")}
        known |= {name: pixels | {"mean": "ratio of sums over all edits"} for name in ("inside", "outside")}
        known |= {name: pixels | {"by": "the exact answers"} for name in ("success", "halfway")}
        if self.clip:
            side = self.clip.image_size
            judge = {"backbone": self.settings["judge"], "range": "[0, 1]", "crop": "none"}
            judge["resize"] = f"{side} × {side}, bicubic with antialiasing, float"
            known["clip_i"] = judge
            known |= {name: judge | {"captions": self.captions} for name in ("clip_t", "direction", "judge_success")}
        return known

    def finish(self, run: Run) -> list[Path]:
        """scenes.json and scenes.txt: of each editor the tables of the quick figures, over kinds and by kind, beside
        the baselines. None without a round trip, over whose change theirs is counted."""
        if any(name not in run.rows for name in BESIDE):
            return []
        summaries = {row: summarise(samples(run, row)) for row in editors_of(run)}
        tables = "\n".join(f"{row}\n\n{as_text(summary)}\n" for row, summary in summaries.items())
        return [
            write_atomic(run.folder / "scenes.json", (json.dumps(summaries, indent=1) + "\n").encode()),
            write_atomic(run.folder / "scenes.txt", tables.encode()),
        ]


def add_arguments(group: Any) -> None:
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--size", type=int, help="side in pixels of what is drawn (default: the first editor's own, or 64)")


def build(args: argparse.Namespace) -> Scenes:
    """UserError: no such split, a bad size, no judge there."""
    size = getattr(args, "size", None) or next(
        (found for editor in args.editors if (found := getattr(editor, "image_size", None))), 64
    )
    clip = load_clip(args.judge) if args.judge else None
    cases = suite_cases(args.suite, args.split, args.seed, args.count, args.sessions, size, args.photos)
    drawn = [case.digest(_drawn(case)) for case in cases]
    settings = {
        "suite": args.suite, "split": args.split, "seed": args.seed, "size": size, "cases": len(cases),
        "drawn": digest({"cases": drawn}), "measurements": MEASUREMENTS,
        "judge": identity(args.judge) if args.judge else None,
    }  # fmt: skip
    baselines = ("copy-input", "round trip", "ceiling")
    return Scenes(
        name=args.suite, settings=settings, baselines=baselines, captions="the scene's own", cases=tuple(cases),
        clip=clip, metrics=(),
    )  # fmt: skip


def _turns(case: Case) -> tuple[Turn, ...]:
    last = len(case.instructions) - 1
    turns = []
    for place, instruction in enumerate(case.instructions):
        scored = place == last
        turns.append(Turn(
            key=_key(case, place), instruction=instruction, source=_source(case) if place == 0 else None,
            before=_source(case), target=_target(case),  # of all turns: the rows of ground truth go there at once
            mask=_mask(case) if scored else None,
            caption=case.caption, edited_caption=case.edited_caption, kind=case.kind,
            groups=(case.turns,) if scored else (), about={"instructions": list(case.instructions)},
        ))  # fmt: skip
    return tuple(turns)


def _key(case: Case, place: int) -> str:
    return case.name if len(case.instructions) == 1 else f"{case.name}/{place + 1}"


@functools.lru_cache(maxsize=256)
def _drawn(case: Case) -> Answer:
    return case.draw()


def _source(case: Case) -> Callable[[], Image.Image]:
    return lambda: to_pil(_drawn(case).source)


def _target(case: Case) -> Callable[[], Image.Image]:
    return lambda: to_pil(_drawn(case).target)


def _mask(case: Case) -> Callable[[], np.ndarray]:
    return lambda: _drawn(case).mask


def editors_of(run: Run) -> list[str]:
    return [row["name"] for row in run.info["rows"] if not row["baseline"]]


def samples(run: Run, row: str) -> list[Sample]:
    """A run as scene_tables.py adds it up: of every case the editor's figures of the first seed, and the baselines'."""
    seed = run.info["seeds"][0]
    columns = {"model": row} | {theirs: ours for ours, theirs in BESIDE.items()}
    return [
        {"case": turn, "turns": sample["groups"][0], "kind": sample["kind"],
         "rows": {name: run.rows[of][seed][turn] for name, of in columns.items()}}
        for turn, sample in run.samples.items()
    ]  # fmt: skip
