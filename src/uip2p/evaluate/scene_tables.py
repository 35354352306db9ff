"""From per-sample rows to tables: how samples add up, and how the result is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from uip2p.evaluate.confidence import FIGURES, intervals
from uip2p.evaluate.metrics import firm_product

# The editor, and the three rows it must be read beside: doing nothing, the autoencoder alone on the source, and the
# exact answer through the same autoencoder: no editor that decodes with it can be expected to do better.
ROWS = ("model", "copy-input", "round trip", "best possible")
# plain means over samples; the rest are sums
MEANS = ("l1", "l2", "clip_i", "clip_t", "direction", "success", "judge_success", "halfway")
APPENDIX = ("color", "add", "remove", "move")  # the four kinds of edit in the paper's appendix

Sample = dict[str, Any]
Table = dict[str, dict[str, float | None]]


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _score(inside: float | None, ratio: float | None) -> float | None:
    """FIRM's product on group figures: execution = what of the edit is done, 1 − inside clipped to [0, 1];
    consistency = 1 where the rest is kept as well as the round trip keeps it, its error over the model's where not.
    One number that neither copying nor repainting wins."""
    if inside is None:
        return None
    execution, consistency = min(max(1 - inside, 0.0), 1.0), 1.0 if ratio is None else 1 / max(ratio, 1.0)
    return float(firm_product(*torch.tensor([[execution], [consistency]], dtype=torch.float64)))


def _outside(samples: Sequence[Sample], row: str) -> float | None:
    rows = [sample["rows"][row] for sample in samples]
    return _ratio(sum(r["outside_sum"] for r in rows), sum(r["outside_pixels"] for r in rows))


def _finish(table: Table, samples: Sequence[Sample]) -> Table:
    """Adds what is pooled over the pixels of all samples alike, whatever their kind."""
    trip = _outside(samples, "round trip")
    for row, values in table.items():
        outside = values["outside"] = _outside(samples, row)
        values["outside_ratio"] = None if outside is None or trip is None else _ratio(outside, trip)
        values["score"] = _score(values["inside"], values["outside_ratio"])
    return table


def one_kind(samples: Sequence[Sample]) -> Table:
    """Samples of one kind -> row -> figures. Inside error: ratio of sums, so that no tiny mask swamps the rest."""
    table: Table = {}
    for row in ROWS:
        rows = [sample["rows"][row] for sample in samples]
        table[row] = {name: _mean(r.get(name) for r in rows) for name in MEANS}
        table[row]["inside"] = _ratio(sum(r["inside_sum"] for r in rows), sum(r["wanted_sum"] for r in rows))
    return _finish(table, samples)


def over_kinds(samples: Sequence[Sample]) -> Table:
    """Samples of several kinds -> row -> figures: the mean over kinds, each with equal weight."""
    kinds = [one_kind(of_kind) for of_kind in group(samples, lambda sample: sample["kind"]).values()]
    table = {row: {name: _mean(k[row][name] for k in kinds) for name in (*MEANS, "inside")} for row in ROWS}
    return _finish(table, samples)


def group(samples: Iterable[Sample], by: Callable[[Sample], str]) -> dict[str, list[Sample]]:
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(by(sample), []).append(sample)
    return groups


def summarise(samples: Sequence[Sample]) -> dict[str, Any]:
    """Per-sample rows -> {"single-turn" | "three-turn": {"count", "all", "appendix", "kinds", "intervals"}}.

    "all": mean over kinds. "appendix": mean over those of the paper's four kinds that occur (absent if none does).
    "kinds": kind -> its own table. Every table: row (see ROWS) -> figure -> value, None where not defined.
    "intervals": "all", "appendix", or a kind -> row -> success, inside, direction -> its 95 % interval [low, high] as
    cases are drawn anew (see confidence.py), None where not defined."""
    summary: dict[str, Any] = {}
    for turns, chosen in group(samples, lambda sample: sample["turns"]).items():
        kinds = group(chosen, lambda sample: sample["kind"])
        part = summary[turns] = {"count": len(chosen), "all": over_kinds(chosen)}
        sets = {"all": kinds}
        appendix = {kind: kinds[kind] for kind in APPENDIX if kind in kinds}
        if appendix:
            part["appendix"] = over_kinds([sample for own in appendix.values() for sample in own])
            sets["appendix"] = appendix
        if len(kinds) > 1:
            part["kinds"] = {kind: {"count": len(own), **one_kind(own)} for kind, own in kinds.items()}
            sets |= {kind: {kind: own} for kind, own in kinds.items()}
        part["intervals"] = {name: {row: intervals(own, row) for row in ROWS} for name, own in sets.items()}
    return summary


# In print

COLUMNS = {  # figure -> (heading, format)
    "l1": ("L1 ↓", ".4f"), "l2": ("L2 ↓", ".4f"), "clip_i": ("CLIP-I ↑", ".3f"), "clip_t": ("CLIP-T ↑", ".3f"),
    "direction": ("direction ↑", ".3f"), "inside": ("inside ↓", ".3f"), "outside": ("outside ↓", ".4f"),
    "outside_ratio": ("× trip ↓", ".2f"), "success": ("success ↑", ".0%"), "judge_success": ("judge ↑", ".0%"),
    "halfway": ("halfway ↑", ".0%"), "score": ("score ↑", ".3f"),
}
LEGEND = """\
inside   error where the edit had to happen, relative to copying the input; 0 is exact
outside  change everywhere else, and that relative to the autoencoder's round trip of the source
success  of all that the edit could have come to, the output is nearest to what was asked; no network has a say
judge    the same by the judge CLIP: of the captions of all that, the asked one fits the output best
halfway  less than half of the error where the edit had to happen is left
score    (1 - inside) · (0.6 + 0.4 / max(× trip, 1)): neither copying nor repainting wins it
L1, L2, CLIP-I and outside reward doing nothing: read them beside copy-input.
best possible is the exact answer after the same autoencoder: the ceiling of every column, the judge's among them."""


def cell(name: str, value: float | None) -> str:
    """A figure as the tables show it."""
    return "–" if value is None else format(value, COLUMNS[name][1])


def _lines(title: str, table: dict[str, dict[str, Any]]) -> list[str]:
    """One table; a column that no row has is left out."""
    shown = (name for name in COLUMNS if any(row[name] is not None for row in table.values()))
    columns = {name: f"{COLUMNS[name][0]:>6}" for name in shown}
    width = max(15, *map(len, table))
    head = " " * width + "".join(f"  {heading}" for heading in columns.values())
    rows = [
        f"{label:<{width}}" + "".join(f"  {cell(n, row[n]):>{len(h)}}" for n, h in columns.items())
        for label, row in table.items()
    ]
    return [title, head, "─" * len(head), *rows, ""]


def _interval_line(intervals: dict[str, dict[str, Any]]) -> list[str]:
    """The model's 95 % intervals, one line under its table."""
    known = {name: intervals["model"][name] for name in FIGURES if intervals["model"][name]}
    ranges = (f"{name} {cell(name, low)} to {cell(name, high)}" for name, (low, high) in known.items())
    return [f"the model, 95 % as cases vary:  {',  '.join(ranges)}", ""]


def _ceiling_line(kinds: dict[str, dict[str, Any]]) -> list[str]:
    """In how many of the exact answers the judge sees what was asked: nothing if there was none."""
    best = {kind: table["best possible"]["judge_success"] for kind, table in kinds.items()}
    shares = "  ".join(f"{kind} {cell('judge_success', share)}" for kind, share in best.items() if share is not None)
    return [f"judge, best possible:  {shares}", ""] if shares else [""]


def as_text(summary: dict[str, Any]) -> str:
    """A summary as a person reads it: the rows beside one another, then the model kind by kind."""
    lines = []
    for turns, part in summary.items():
        kinds = part.get("kinds", {})
        if "appendix" in part and len(kinds) > len(APPENDIX):
            lines += _lines(f"{turns}, mean over the paper's four kinds", part["appendix"])
            lines[-1:] = _interval_line(part["intervals"]["appendix"])
        number = f"{turns}, {part['count']} cases"
        lines += _lines(f"{number}, mean over {len(kinds)} kinds" if kinds else number, part["all"])
        lines[-1:] = _interval_line(part["intervals"]["all"])
        if kinds:
            by_kind = {f"{kind} ({table['count']})": table["model"] for kind, table in kinds.items()}
            lines += _lines(f"{turns}, the model by kind", by_kind)
            lines[-1:] = _ceiling_line(kinds)
    return "\n".join([*lines, LEGEND])
