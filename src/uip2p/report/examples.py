"""Which edits are shown: by rank of a figure that is named, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uip2p.evaluate.runs import Run
from uip2p.evaluate.tables import FIGURES

Data = dict[str, Any]
RANKS = {"best": 0.0, "median": 0.5, "worst": 1.0}
OF_A_MODEL = 3  # rows of one model that are shown: the ends of its curve and the middle
NOT_SHOWN = ("copy-input", "ground truth")  # the pictures to their left and right


def examples_of(run: Run, group: str, by: str | None = None) -> Data:
    """ranked_by, ranked_row: the figure, and the first editor's row whose figures it is. shown: the rows whose pictures
    stand side by side. examples: best, median and worst of the group, then the median of each kind of edit,
    unless it is shown already."""
    editors = [row["name"] for row in run.info["rows"] if not row["baseline"]]
    if not editors:
        return {"ranked_by": None, "ranked_row": None, "shown": [], "examples": []}
    row, seed = editors[0], run.info["seeds"][0]
    figure = ranked_by(run, row, group, by)
    values = _values(run, row, group, figure) if figure else {}
    chosen = [(rank, "", turn) for rank, turn in by_rank(values, FIGURES[figure][2]).items()] if figure else []
    kinds: dict[str, dict[str, float]] = {}
    for turn, value in values.items():
        kinds.setdefault(run.samples[turn]["kind"], {})[turn] = value
    if figure and len(kinds) > 1:
        medians = {kind: by_rank(own, FIGURES[figure][2], {"median": 0.5})["median"] for kind, own in kinds.items()}
        shown = {turn for _, _, turn in chosen}
        chosen += [("median", kind, turn) for kind, turn in medians.items() if turn not in shown]
    return {
        "ranked_by": figure,
        "ranked_row": row,
        "shown": shown_rows(run.info["rows"]),
        "examples": [
            {"rank": rank, "of_kind": kind, "seed": seed, "value": values[turn], **_asked(run, turn)}
            for rank, kind, turn in chosen
        ],
    }


def ranked_by(run: Run, row: str, group: str, by: str | None = None) -> str | None:
    """`by` where the row has it, or L1 to the ground truth, or where nobody knows that the direction, or whatever else
    was measured of which high or low is better; None: nothing."""
    known = [name for name in FIGURES if FIGURES[name][2] and _values(run, row, group, name)]
    if by in known:
        return by
    return next((name for name in ("l1", "direction", *known) if name in known), None)


def _values(run: Run, row: str, group: str, figure: str) -> dict[str, float]:
    """Turn → the figure of the run's first seed, whose output is shown; where it is defined."""
    turns = run.turns(group)
    values = run.values(row, figure, turns)[:, 0]
    return {turn: float(value) for turn, value in zip(turns, values, strict=True) if np.isfinite(value)}


def by_rank(values: Mapping[str, float], better: int, ranks: Mapping[str, float] = RANKS) -> dict[str, str]:
    """Rank's name → turn, from the best to the worst; equal values in the order of their names. Few turns: each once.
    better: 1 or -1, as in FIGURES."""
    order = sorted(values, key=lambda turn: (-better * values[turn], turn))
    places: dict[int, str] = {}
    for name, rank in ranks.items():
        places.setdefault(int(rank * (len(order) - 1) + 0.5), name)
    return {name: order[place] for place, name in places.items()} if order else {}


def shown_rows(rows: Sequence[Data]) -> list[str]:
    """Editors and the round trip, in their order; of a model with many rows its first, its middle and its last."""
    models: dict[Any, list[str]] = {}
    for row in rows:
        if row["name"] not in NOT_SHOWN and (not row["baseline"] or "round trip" in row["name"]):
            models.setdefault((row["baseline"], row["model"] or row["name"]), []).append(row["name"])
    found = [
        name
        for names in models.values()
        for name in (names if len(names) <= OF_A_MODEL else [names[0], names[len(names) // 2], names[-1]])
    ]
    return sorted(found, key=[row["name"] for row in rows].index)


def _asked(run: Run, turn: str) -> Data:
    sample = run.samples[turn]
    told = {name: sample[name] for name in ("turn", "session", "instruction", "caption", "edited_caption", "kind")}
    return {**told, "instructions": run.asked(turn)}
