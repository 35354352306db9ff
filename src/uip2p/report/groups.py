"""A group of a run (single-turn, multi-turn, …) as plain data: rows, differences, what is best and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

from uip2p.evaluate.runs import NOT_MEASURED, Run
from uip2p.evaluate.statistics import Difference, difference
from uip2p.evaluate.suites.ablation import verdict
from uip2p.evaluate.tables import FIGURES, clusters, defined, summarise

Data = dict[str, Any]
COPY = "copy-input"


class Pairs:
    """Differences of two rows on the same samples, each computed once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._known: dict[tuple[str, str, str, str], Difference | None] = {}

    def __call__(self, row: str, against: str, figure: str, group: str) -> Difference | None:
        """row − against; None where they share no sample of it."""
        key = (row, against, figure, group)
        if key not in self._known:
            turns, (one, other) = defined(self.run, [row, against], figure, group)
            self._known[key] = difference(one, other, clusters(self.run, turns)) if turns else None
        return self._known[key]


def group_of(run: Run, group: str, pairs: Pairs) -> Data:
    """columns: figures in their order. published, measured: rows. best: figure → who leads, and whether by more than
    noise. differences: the first editor's row minus each other one; of an ablation each editor's minus the one before,
    and verdicts: what each step trades, in words. copying: figures by which doing nothing is at
    least as good as every editor. named: published rows that a measured row bears the name of. kinds: kind of edit →
    editor → figures, where there are kinds. missing: what is not in the table, and why."""
    published = [row for row in run.info["published"] if row["group"] == group]
    summary: Mapping[str, Mapping[str, Data]] = run.info["summary"].get(group, {})
    measured = [
        {"name": row["name"], "baseline": row["baseline"], "figures": dict(summary[row["name"]])}
        for row in run.info["rows"]
    ]
    known = {name for row in (*published, *measured) for name in row["figures"]}
    columns = [name for name in FIGURES if name in known]
    editors = [row for row in measured if not row["baseline"]]
    edits = len(run.turns(group))
    return {
        "name": group,
        "edits": edits,
        "columns": columns,
        "published": published,
        "measured": measured,
        "best": {f: found for f in columns if (found := _best(editors, f, group, pairs))},
        "differences": _differences(compared(run.info["suite"], measured), columns, group, pairs),
        "verdicts": _verdicts(run.info["suite"], editors, columns, group, pairs),
        "copying": [figure for figure in columns if _copying(measured, editors, figure)],
        "named": _named(published, editors),
        "kinds": _kinds(run, group),
        "missing": _missing(measured, columns, edits, run.info["metrics"].get(NOT_MEASURED, {})),
    }


def _kinds(run: Run, group: str) -> Data:
    """The same summary with each kind of edit as a group of its own; {} of fewer than two kinds."""
    samples = {turn: {**run.samples[turn], "groups": [run.samples[turn]["kind"]]} for turn in run.turns(group)}
    if len({sample["kind"] for sample in samples.values()}) < 2:
        return {}
    editors = [row for row in run.info["rows"] if not row["baseline"]]
    return summarise(replace(run, samples=samples, info={**run.info, "rows": editors}))


def _mean(row: Data, figure: str) -> float | None:
    found = row["figures"].get(figure)
    return None if found is None else found["mean"]


def _best(editors: Sequence[Data], figure: str, group: str, pairs: Pairs) -> Data | None:
    """The leading editor, the next one, and their difference on the same edits; None where nothing can lead."""
    better = FIGURES[figure][2]
    ranked = sorted(
        (row for row in editors if _mean(row, figure) is not None),
        key=lambda row: -better * (_mean(row, figure) or 0.0),
    )
    if not better or len(ranked) < 2:
        return None
    first, second = ranked[:2]
    found = pairs(first["name"], second["name"], figure, group)
    noise = found.noise if found else _overlap(first["figures"][figure], second["figures"][figure])
    return {"row": first["name"], "next": second["name"], "noise": noise}


def _overlap(one: Data, other: Data) -> bool:
    """Whether two intervals meet: for ratios of sums, which have no pairs; stricter than a paired test. True where
    there is no interval."""
    if None in (one["low"], one["high"], other["low"], other["high"]):
        return True
    return bool(one["low"] <= other["high"] and other["low"] <= one["high"])


def compared(suite: str, measured: Sequence[Data]) -> list[tuple[str, str]]:
    """(row, against): the first editor and every other row; in an ablation each editor and the one before, which has
    one loss less."""
    editors = [row["name"] for row in measured if not row["baseline"]]
    if suite == "ablation":
        return [(later, earlier) for earlier, later in pairwise(editors)]
    return [(editors[0], row["name"]) for row in measured if editors and row["name"] != editors[0]]


def _differences(
    rows: Sequence[tuple[str, str]], columns: Sequence[str], group: str, pairs: Pairs
) -> list[Data]:
    found = []
    for row, against in rows:
        of_each = {figure: pairs(row, against, figure, group) for figure in columns}
        figures = {figure: {**asdict(d), "noise": d.noise} for figure, d in of_each.items() if d is not None}
        found.append({"row": row, "against": against, "figures": figures})
    return found


def _verdicts(
    suite: str, editors: Sequence[Data], columns: Sequence[str], group: str, pairs: Pairs
) -> list[str]:
    """Of an ablation: does each added loss trade CLIP-T for preservation, as in the paper? See ablation.verdict."""
    if suite != "ablation":
        return []
    said = []
    for later, earlier in compared(suite, editors):
        found = {figure: d for figure in columns if (d := pairs(later, earlier, figure, group)) is not None}
        said.append(f"{earlier} → {later}: {verdict(found)}")
    return said


def _copying(measured: Sequence[Data], editors: Sequence[Data], figure: str) -> bool:
    better = FIGURES[figure][2]
    copies = [mean for row in measured if row["name"] == COPY and (mean := _mean(row, figure)) is not None]
    theirs = [mean for row in editors if (mean := _mean(row, figure)) is not None]
    return bool(better and copies and theirs) and all(better * copies[0] >= better * mean for mean in theirs)


def _named(published: Sequence[Data], editors: Sequence[Data]) -> list[Data]:
    """Rows that can be held against the paper: a measured row called as a published one. within: figure → whether the
    published value lies in the measured 95 % interval; None where there is no interval."""
    rows = {row["name"].casefold(): row for row in editors}
    found = []
    for row in published:
        ours = rows.get(row["name"].casefold())
        if ours:
            within = {}
            for figure, value in row["figures"].items():
                if of_ours := ours["figures"].get(figure):
                    low, high = of_ours["low"], of_ours["high"]
                    within[figure] = None if low is None else bool(low <= value <= high)
            found.append({"name": row["name"], "within": within})
    return found


def _missing(
    measured: Sequence[Data], columns: Sequence[str], edits: int, why_not: Mapping[str, str]
) -> list[Data]:
    """Figures without a value, or without all of them. why_not: what the meter says of those that it left out."""
    found = [{"figure": name, "why": why} for name, why in why_not.items() if name in FIGURES and name not in columns]
    for figure in columns:
        counts = {row["name"]: row["figures"][figure]["count"] for row in measured if figure in row["figures"]}
        if not counts:
            why = f" ({why_not[figure]})" if figure in why_not else ""
            found.append({"figure": figure, "why": f"published, and not measured in this run{why}"})
            continue
        if without := [row["name"] for row in measured if row["name"] not in counts]:
            found.append({"figure": figure, "why": f"not defined for {', '.join(without)}"})
        if (least := min(counts.values())) < edits:
            why = f"defined for {least} of {edits} edits only: the mean is over those"
            found.append({"figure": figure, "why": why})
    return found
