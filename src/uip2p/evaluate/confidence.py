"""How far a figure would move with other cases: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FIGURES = ("success", "inside", "direction")
DRAWS = 2000

Interval = list[float]  # [low, high]


def intervals(kinds: Mapping[str, Sequence[dict[str, Any]]], row: str, seed: int = 0) -> dict[str, Interval | None]:
    """kind -> samples as scene_tables.py has them -> figure of FIGURES -> its 95 % interval, None where not defined.

    Percentiles 2.5 and 97.5 of DRAWS bootstrap draws. Each draws as many cases of every kind as there are, with
    replacement, and adds them up as the tables do: within a kind, then the mean over kinds. Whatever their order, the
    same samples give the same intervals, and all rows are drawn alike. It says what other cases would do, not other
    training seeds."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in FIGURES}
    for kind in sorted(kinds):
        samples = sorted(kinds[kind], key=lambda sample: sample["case"])
        index = rng.integers(len(samples), size=(DRAWS, len(samples)))
        for name, values in _drawn([sample["rows"][row] for sample in samples], index).items():
            drawn[name].append(values)
    return {name: _percentiles(values) for name, values in drawn.items()}


def _drawn(rows: Sequence[dict[str, float]], index: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of one kind for each draw, index [DRAWS, n]: figure -> [DRAWS], NaN where not defined."""

    def values(name: str) -> np.ndarray:
        return np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)[index]

    wanted = values("wanted_sum").sum(1)
    inside = np.divide(values("inside_sum").sum(1), wanted, out=np.full(len(index), np.nan), where=wanted > 0)
    return {"success": values("success").mean(1), "inside": inside, "direction": values("direction").mean(1)}


def _percentiles(kinds: Sequence[np.ndarray]) -> Interval | None:
    """[DRAWS] of each kind -> the interval of their mean, over the kinds in which the figure is defined."""
    stacked = np.stack(kinds)
    known = stacked[~np.isnan(stacked).any(1)]
    if not len(known):
        return None
    low, high = np.percentile(known.mean(0), (2.5, 97.5))
    return [float(low), float(high)]
