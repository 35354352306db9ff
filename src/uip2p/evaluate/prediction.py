"""How well does a score foretell success? ROC AUC, best of N, and an alarm, all with their uncertainty.

Pure functions of rows as `reversibility.measure` makes them: a case each, with its "candidates".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata

from uip2p.evaluate.scene_tables import APPENDIX, group

PREDICTORS = ("reversibility", "direction", "score")
DRAWS = 500
PRECISION = 0.8  # "likely failed" has to be true in four of five cases
LEAST = 20  # and of this many edits at least, or it is chance

Row = dict[str, Any]
Figure = list[float]  # value, and the low and high end of its 95 % interval


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """One figure of every candidate: [cases, candidates]."""
    return np.array([[candidate[name] for candidate in row["candidates"]] for row in rows], dtype=np.float64)


def auc(predictor: np.ndarray, success: np.ndarray) -> float | None:
    """Area under the ROC curve: how often a success is ranked above a failure, ties counting half. Any shape, one for
    both -> 0 to 1, ½ by chance; None unless there are both."""
    good = success.ravel() > 0
    wins, losses = int(good.sum()), int((~good).sum())
    if not wins or not losses:
        return None
    ranks = rankdata(predictor.ravel())
    return float((ranks[good].sum() - wins * (wins + 1) / 2) / (wins * losses))


def best_of(rank: np.ndarray, success: np.ndarray, number: int) -> np.ndarray:
    """Success of the highest-ranked of `number` candidates, its mean over all choices of so many: [n, N] -> [n]."""
    chosen = [list(several) for several in combinations(range(rank.shape[1]), number)]
    cases = np.arange(len(rank))
    return np.mean([success[:, c][cases, rank[:, c].argmax(1)] for c in chosen], axis=0)


def choice_rank(rows: Sequence[Row]) -> np.ndarray:
    """By score, and by direction where scores are equal, as `editing.reversibility.best` chooses. [n, N]"""
    keys = np.stack([column(rows, "score").ravel(), column(rows, "direction").ravel()], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(len(rows), -1)


def interval(figure: Callable[[np.ndarray], float | None], count: int, seed: int = 0) -> Figure | None:
    """figure: of the cases with these numbers -> its value and 95 % bootstrap interval over cases, all candidates of a
    case together. None where it is not defined."""
    value = figure(np.arange(count))
    if value is None:
        return None
    rng = np.random.default_rng(seed)
    drawn = (figure(rng.integers(count, size=count)) for _ in range(DRAWS))
    low, high = np.percentile([each for each in drawn if each is not None] or [value], (2.5, 97.5))
    return [value, float(low), float(high)]


def alarm(score: np.ndarray, success: np.ndarray, below: float) -> dict[str, float | None]:
    """What "likely failed" is worth: flagged, the share of edits below; precision, of those that failed; recall, of the
    failures that are below; failed, the share of failures among all, which a blind alarm would have as precision."""
    flagged, failed = score.ravel() < below, success.ravel() == 0
    both = (flagged & failed).sum()
    return {
        "below": below, "flagged": float(flagged.mean()), "failed": float(failed.mean()),
        "precision": float(both / flagged.sum()) if flagged.any() else None,
        "recall": float(both / failed.sum()) if failed.any() else None,
    }  # fmt: skip


def calibrate(score: np.ndarray, success: np.ndarray) -> float | None:
    """The highest threshold below which at least PRECISION of LEAST or more edits failed; None if there is none.

    Not Youden's J: that balances both kinds of error whatever their number, and of an editor that seldom fails it
    would call "likely" what mostly succeeds."""
    order = np.argsort(score.ravel(), kind="stable")
    ranked, failed = score.ravel()[order], success.ravel()[order] == 0
    precision = failed.cumsum() / np.arange(1, len(failed) + 1)
    after = np.append(ranked[1:], 1.0)
    good = (precision >= PRECISION) & (np.arange(1, len(failed) + 1) >= LEAST) & (after > ranked)
    if not good.any():
        return None
    last = int(good.nonzero()[0][-1])
    return float((ranked[last] + after[last]) / 2)


def summarise(rows: Sequence[Row], below: float | None = None) -> dict[str, Any]:
    """Rows -> {"cases", "candidates", "groups": {"all" | "appendix" | kind: {"cases", "success", "auc", "best_of"}},
    "alarm"}. Every figure with its interval, [value, low, high], None where not defined.

    auc: of each of PREDICTORS. best_of: number -> {"chosen": success of the one of highest score, "possible": success
    of the best, had an oracle chosen}. alarm: see there, None for a model that is not calibrated."""
    kinds = group(rows, lambda row: row["kind"])
    appendix = [row for row in rows if row["kind"] in APPENDIX]
    groups = {"all": list(rows), **({"appendix": appendix} if appendix else {}), **kinds}
    success = column(rows, "success")
    return {
        "cases": len(rows), "candidates": success.shape[1],
        "groups": {name: _figures(own) for name, own in groups.items()},
        "alarm": None if below is None else alarm(column(rows, "score"), success, below),
    }  # fmt: skip


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    success, rank, count = column(rows, "success"), choice_rank(rows), len(rows)

    def mean(values: np.ndarray) -> Figure | None:
        return interval(lambda cases: float(values[cases].mean()), count)

    def area(predictor: np.ndarray) -> Figure | None:
        return interval(lambda cases: auc(predictor[cases], success[cases]), count)

    numbers = [number for number in (1, 2, 4, 8, 16) if number <= success.shape[1]]
    return {
        "cases": count,
        "success": mean(success.mean(1)),
        "auc": {name: area(column(rows, name)) for name in PREDICTORS},
        "best_of": {
            str(number): {
                "chosen": mean(best_of(rank, success, number)),
                "possible": mean(best_of(success, success, number)),
            }
            for number in numbers
        },
    }


# ---- words ---------------------------------------------------------------------------------------


def as_text(summary: dict[str, Any]) -> str:
    """A summary as a person reads it."""
    numbers = list(summary["groups"]["all"]["best_of"])
    heads = ["success", *(f"AUC {name}" for name in PREDICTORS), *(f"best of {n}" for n in numbers[1:]), "possible"]
    lines = [f"{summary['cases']} cases, {summary['candidates']} candidates each", f"{'':16}" + "".join(
        f"{head:>22}" for head in heads)]  # fmt: skip
    for name, own in summary["groups"].items():
        chosen = [own["best_of"][number]["chosen"] for number in numbers[1:]]
        cells = [_cell(own["success"], ".0%"), *(_cell(own["auc"][p], ".2f") for p in PREDICTORS)]
        cells += [_cell(figure, ".0%") for figure in (*chosen, own["best_of"][numbers[-1]]["possible"])]
        lines.append(f"{name + ' (' + str(own['cases']) + ')':<16}" + "".join(f"{cell:>22}" for cell in cells))
    lines += [
        "", "AUC: how often the figure is higher for a success than for a failure; .50 by chance.",
        f"possible: at least one of {numbers[-1]} succeeds. In brackets: 95 % intervals over cases.",
    ]  # fmt: skip
    if found := summary["alarm"]:
        lines.append(as_line(found))
    return "\n".join(lines)


def _cell(figure: Figure | None, form: str) -> str:
    return "–" if figure is None else f"{figure[0]:{form}} [{figure[1]:{form}}, {figure[2]:{form}}]"


def as_line(found: dict[str, Any]) -> str:
    precision, recall = (f"{found[k]:.0%}" if found[k] is not None else "–" for k in ("precision", "recall"))
    return (
        f"likely failed (score below {found['below']:.3f}): {found['flagged']:.0%} of all edits; {precision} of these "
        f"failed (of all: {found['failed']:.0%}), {recall} of the failures are among them."
    )
