"""The tables of a report, ready to be written as HTML or Markdown: what every cell says, and how it is marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uip2p.compare import tables as comparisons
from uip2p.evaluate.scene_tables import COLUMNS
from uip2p.evaluate.tables import FIGURES, REWARD_COPYING, heading

Data = dict[str, Any]
PUBLISHED, MEASURED, BASELINE = "published", "measured here", "baseline"
NOISE = "inside the noise"
NONE = "–"


@dataclass(frozen=True)
class Cell:
    """below: the 95 % interval, or what else is said in small. best: beyond the noise the best of the editors.
    noise: nothing can be told from it. value: by which the column is sorted."""

    text: str
    below: str = ""
    best: bool = False
    noise: bool = False
    value: float | None = None


@dataclass(frozen=True)
class Line:
    """origin: PUBLISHED, MEASURED, BASELINE, or "" where all lines are alike."""

    name: str
    origin: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """notes: what has to be read with it."""

    head: list[str]
    lines: list[Line]
    notes: list[str]


def figures_table(group: Data) -> Table:
    """The paper's rows, then the measured ones with their intervals; the best editor of a figure is marked, unless the
    next one is inside the noise, which a line below then says."""
    columns, best = group["columns"], group["best"]
    leads = {(found["row"], figure) for figure, found in best.items() if not found["noise"]}
    lines = [
        Line(row["name"], PUBLISHED, [published_cell(figure, row["figures"].get(figure)) for figure in columns])
        for row in group["published"]
    ]
    for row in group["measured"]:
        cells = [measured_cell(f, row["figures"].get(f), (row["name"], f) in leads) for f in columns]
        lines.append(Line(row["name"], BASELINE if row["baseline"] else MEASURED, cells))
    return Table([heading(figure) for figure in columns], lines, _notes(group))


def published_cell(figure: str, value: float | None) -> Cell:
    return Cell(NONE) if value is None else Cell(number(figure, value), value=value)


def measured_cell(figure: str, found: Mapping[str, Any] | None, best: bool = False) -> Cell:
    if found is None or found["mean"] is None:
        return Cell(NONE)
    below = interval(figure, found["low"], found["high"])
    return Cell(number(figure, found["mean"]), below, best, value=found["mean"])


def number(figure: str, value: float) -> str:
    return format(value, FIGURES[figure][1]).replace("-", "−")


def interval(figure: str, low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{number(figure, low)} to {number(figure, high)}"


def _notes(group: Data) -> list[str]:
    """What no cell can say."""
    noise = [
        f"{FIGURES[figure][0]} ({found['row']}, {found['next']})"
        for figure, found in group["best"].items() if found["noise"]
    ]  # fmt: skip
    copying = [FIGURES[figure][0] for figure in group["copying"]]
    rewards = [FIGURES[figure][0] for figure in group["columns"] if figure in REWARD_COPYING]
    notes = []
    if rewards:
        notes.append(f"Read beside copy-input what an editor that does nothing is rewarded by: {_list(rewards)}.")
    if copying:
        notes.append(f"By {_list(copying)} copy-input is at least as good as every editor measured here.")
    if noise:
        notes.append(f"The two best editors are {NOISE} by {_list(noise)}: neither is marked.")
    return notes


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def differences_table(group: Data) -> Table | None:
    """The pairs of rows that are compared on the same edits; None where there are none."""
    found = group["differences"]
    columns = [name for name in group["columns"] if any(name in row["figures"] for row in found)]
    if not columns:
        return None
    lines = [
        Line(f"{row['row']} − {row['against']}", "", [difference_cell(f, row["figures"].get(f)) for f in columns])
        for row in found
    ]
    return Table([heading(figure) for figure in columns], lines, [])


def difference_cell(figure: str, found: Mapping[str, Any] | None) -> Cell:
    """The difference and its interval; "inside the noise" where 0 is a good guess too."""
    if found is None:
        return Cell(NONE)
    low, high = found["low"], found["high"]
    below = "" if low is None or high is None else _range(FIGURES[figure][1], low, high)
    if found["noise"]:
        below = f"{below}; {NOISE}" if below else NOISE
    return Cell(signed(figure, found["mean"]), below, noise=found["noise"], value=found["mean"])


def signed(figure: str, value: float) -> str:
    return _signed(FIGURES[figure][1], value)


def _signed(form: str, value: float) -> str:
    """Shares differ by points of a hundred."""
    if form.endswith("%"):
        return f"{100 * value:+.1f} points".replace("-", "−")
    return format(value, f"+{form}").replace("-", "−")


def _range(form: str, low: float, high: float) -> str:
    return f"{_signed(form, low).removesuffix(' points')} to {_signed(form, high)}"


def kinds_tables(group: Data) -> list[tuple[str, Table]]:
    """(editor, its figures by kind of edit) of the editors whose pictures are shown."""
    found = []
    for name in (row["name"] for row in group["measured"] if not row["baseline"] and row["name"] in group["shown"]):
        rows = {kind: rows[name] for kind, rows in group["kinds"].items() if rows.get(name)}
        columns = [figure for figure in group["columns"] if any(figure in row for row in rows.values())]
        lines = [Line(kind, "", [measured_cell(f, row.get(f)) for f in columns]) for kind, row in rows.items()]
        found += [(name, Table([heading(figure) for figure in columns], lines, []))] if lines else []
    return found


def named_lines(group: Data) -> list[str]:
    """For each measured row that is called as a published one: which figures come out as published."""
    lines = []
    published = {row["name"]: row for row in group["published"]}
    measured = {row["name"].casefold(): row for row in group["measured"]}
    for found in group["named"]:
        name = found["name"]
        told = {
            figure: f"{FIGURES[figure][0]} {number(figure, measured[name.casefold()]['figures'][figure]['mean'])} for "
                    f"{number(figure, published[name]['figures'][figure])}"
            for figure in found["within"]
        }  # fmt: skip
        for within, words in (
            (True, "the published value lies in our 95 % interval"),
            (False, "the published value lies outside of it: does not reproduce"),
            (None, "no interval, nothing to tell"),
        ):
            if some := [told[figure] for figure, each in found["within"].items() if each is within]:
                lines.append(f"{name}, measured for published: {'; '.join(some)}: {words}.")
    return lines


def missing_lines(group: Data) -> list[str]:
    return [f"{FIGURES[each['figure']][0]}: {each['why']}." for each in group["missing"]]


# Comparisons

def comparison_tables(comparison: Data) -> list[tuple[str, Table, Table | None]]:
    """(title, figures over the training seeds, differences to one row) of each part."""
    against = comparison["test"].get("against") or "the row compared with"
    found = []
    for part in comparison["tables"]:
        rows = part["rows"]
        spreads = {name: [row["figures"].get(name) or {} for row in rows] for name in comparisons.MAIN}
        columns = [name for name, of_each in spreads.items() if any(each.get("mean") is not None for each in of_each)]
        lines = [
            Line(_with_seeds(row), MEASURED if row["seeds"] else BASELINE, [_spread(f, spreads[f][i]) for f in columns])
            for i, row in enumerate(rows)
        ]
        paired = [name for name in comparisons.PAIRED if any(name in (row["against"] or {}) for row in rows)]
        other = [
            Line(f"{row['name']} − {against}", "", [_paired(f, row["against"].get(f)) for f in paired])
            for row in rows if row["against"]
        ]  # fmt: skip
        second = Table([comparisons.heading(name) for name in paired], other, []) if other else None
        found.append((part["title"], Table([comparisons.heading(name) for name in columns], lines, []), second))
    return found


def _with_seeds(row: Data) -> str:
    return f"{row['name']} ({row['seeds']} seed{'s' * (row['seeds'] > 1)})" if row["seeds"] else row["name"]


def _spread(figure: str, spread: Mapping[str, Any]) -> Cell:
    mean = spread.get("mean")
    return Cell(NONE) if mean is None else Cell(comparisons.cell(figure, spread), value=mean)


def _paired(figure: str, found: Sequence[float] | None) -> Cell:
    """[difference, low, high]."""
    if found is None:
        return Cell(NONE)
    form = COLUMNS[figure][1]
    mean, below = _signed(form, found[0]), _range(form, found[1], found[2])
    noise = found[1] <= 0 <= found[2]
    return Cell(mean, below + f"; {NOISE}" * noise, noise=noise, value=found[0])
