"""How many sampling steps does an editor need? Another suite's edits at 5, 15 and 50 steps, as in the paper: every
figure against the steps, and pictures chosen by rank."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.editors import Editor
from uip2p.evaluate.plots import against_x
from uip2p.evaluate.runs import Run, row_folder
from uip2p.evaluate.suites import Row, rows_along
from uip2p.evaluate.suites.on import OnAnother, add_on, build_on, like
from uip2p.evaluate.tables import FIGURES, RATIOS, cell, figures_of
from uip2p.images import grid, load_image, save_image

STEPS = (5, 15, 50)  # the paper's
RANKS = {"best": 0.0, "median": 0.5, "worst": 1.0}
SIDE = 256  # pixels of a picture in the grid


def add_arguments(group: Any) -> None:
    add_on(group)
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--steps-list", type=int, nargs="+", metavar="N",
        help=f"steps: the numbers of sampling steps (default: {' '.join(map(str, STEPS))})")  # fmt: skip
    add("--rank-by", metavar="FIGURE",
        help="steps: the figure by which the grid's pictures are chosen: best, median and worst at the middle "
        "number of steps (default: the first in the table that has a good side, L1 where there are targets)")


def build(args: argparse.Namespace) -> Steps:
    """UserError: no positive numbers of steps, one twice, no such figure; or as the suite of --on raises."""
    counts = tuple(sorted(getattr(args, "steps_list", None) or STEPS))
    if counts[0] < 1 or len(set(counts)) < len(counts):
        raise UserError(f"--steps-list {' '.join(map(str, counts))}: give numbers from 1 on, each once.")
    if getattr(args, "steps", None):
        raise UserError("--steps: suite steps compares several numbers of steps. Give them as --steps-list.")
    rank_by = getattr(args, "rank_by", None)
    if rank_by and (rank_by not in FIGURES or not FIGURES[rank_by][2]):
        good = (name for name, (_, _, better) in FIGURES.items() if better)
        raise UserError(f"--rank-by {rank_by}: no figure that can be ranked by. Choose one of {', '.join(good)}.")
    return Steps(name="steps", counts=counts, rank_by=rank_by, **like(build_on(args)))


@dataclass(frozen=True, kw_only=True)
class Steps(OnAnother):
    """counts: numbers of steps, rising. rank_by: of tables.FIGURES; None: the first that is measured."""

    counts: tuple[int, ...] = STEPS
    rank_by: str | None = None

    def rows(self, editors: Sequence[Editor]) -> list[Row]:
        """UserError: an editor that cannot be told its steps."""
        return rows_along(editors, self.sampling, "steps", self.counts, _steps)

    def finish(self, run: Run) -> list[Path]:
        """steps.png, of each group of turns, and steps-pictures-<model>.png. UserError: as `pictures`."""
        paths = []
        for model in dict.fromkeys(row["model"] for row in run.info["rows"] if not row["baseline"]):
            path = run.folder / f"steps-pictures-{row_folder(model)}.png"
            paths.append(save_image(pictures(run, model, self.rank_by), path))
        for group in run.groups():
            path = run.folder / ("steps.png" if len(run.groups()) == 1 else f"steps-{row_folder(group)}.png")
            paths.append(against_x(run, group, figures_of(run), "sampling steps", path))
        return paths


def pictures(run: Run, model: str, rank_by: str | None) -> Image.Image:
    """A line a sample: input, the output at each number of steps, the target where there is one. Which samples: best,
    median and worst of the run's first group by `rank_by` at the middle number of steps. Few samples: each once.

    UserError: the figure was not measured."""
    rows = sorted((row for row in run.info["rows"] if row["model"] == model), key=lambda row: row["x"])
    middle, seed = rows[len(rows) // 2]["name"], run.info["seeds"][0]
    turns = run.turns(run.groups()[0])
    measured = [name for name in FIGURES if np.isfinite(of_samples(run, middle, name, turns)).any()]
    figure = rank_by or next((name for name in measured if FIGURES[name][2]), "")
    if figure not in measured:
        raise UserError(f"--rank-by {figure}: this run measures {', '.join(measured) or 'nothing'}.")
    chosen = ranked(dict(zip(turns, of_samples(run, middle, figure, turns), strict=True)), FIGURES[figure][2])
    shown: list[np.ndarray] = []
    labels: list[str] = []
    for rank, turn in chosen.items():
        shown.append(_shown(run.picture(turn, "source")))
        labels.append(f"{rank}: {run.samples[turn]['instruction']}")
        for row in rows:
            value = float(of_samples(run, row["name"], figure, [turn])[0])
            shown.append(_shown(run.output(row["name"], turn, seed)))
            labels.append(f"{_steps(row['x'])}: {FIGURES[figure][0]} {cell(figure, value)}")
        if (target := run.picture(turn, "target")) is not None:
            shown.append(_shown(target))
            labels.append("target")
    return grid(shown, len(shown) // len(chosen), labels)


def of_samples(run: Run, row: str, figure: str, turns: Sequence[str]) -> np.ndarray:
    """[turns] of the run's first seed, NaN where the figure is not defined; a ratio of sums, sample by sample."""
    values = run.values(row, figure, turns)[:, 0]
    if figure in RATIOS and np.isnan(values).all():
        above, below = (run.values(row, name, turns)[:, 0] for name in RATIOS[figure])
        values = np.divide(above, below, out=np.full(len(turns), np.nan), where=below > 0)
    return values


def ranked(values: dict[str, float], better: int) -> dict[str, str]:
    """turn → value to rank → turn. better: 1 where a large value is good, −1 where a small one. What is not defined
    is left out; equal values stand in the order of their names."""
    known = [(-better * value, turn) for turn, value in values.items() if np.isfinite(value)]
    order = [turn for _, turn in sorted(known)]
    places = {round(share * (len(order) - 1)): rank for rank, share in reversed(RANKS.items())}
    return {rank: order[place] for place, rank in sorted(places.items())}


def _steps(count: float) -> str:
    return f"{count:g} step" + "s" * (count != 1)


def _shown(path: Path | None) -> np.ndarray:
    """At most SIDE pixels a side; small pictures enlarged pixel for pixel."""
    if path is None:
        raise ValueError("a sample without its picture")
    picture = load_image(path)
    if (factor := SIDE // max(picture.size)) > 1:
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)
