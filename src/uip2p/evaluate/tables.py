"""A run's tables: how samples add up, and how they are printed, ours beside the published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from uip2p.evaluate.statistics import Difference, Estimate, difference, estimate, ratio, said

if TYPE_CHECKING:
    from uip2p.evaluate.runs import Run

# figure → (heading, format, which way is better: 1 up, -1 down, 0 neither). The order of the columns.
FIGURES: dict[str, tuple[str, str, int]] = {
    "l1": ("L1", ".4f", -1), "l2": ("L2", ".4f", -1), "clip_i": ("CLIP-I", ".4f", 1), "dino": ("DINO", ".4f", 1),
    "clip_t": ("CLIP-T", ".4f", 1), "direction": ("direction", ".3f", 1), "psnr": ("PSNR", ".2f", 1),
    "ssim": ("SSIM", ".3f", 1), "lpips": ("LPIPS", ".3f", -1), "inside": ("inside", ".3f", -1),
    "outside": ("outside", ".4f", -1), "clip_source": ("CLIP to source", ".3f", 0),
    "image_similarity": ("image similarity", ".3f", 0),
    "direction_quirk": ("direction, quirk", ".3f", 1), "image_similarity_quirk": ("image similarity, quirk", ".3f", 0),
    "success": ("success", ".1%", 1), "judge_success": ("judge", ".1%", 1), "halfway": ("halfway", ".1%", 1),
    "execution": ("execution", ".3f", 1), "consistency": ("consistency", ".3f", 1), "quality": ("quality", ".3f", 1),
    "firm": ("FIRM", ".3f", 1),
}  # fmt: skip
REWARD_COPYING = ("l1", "l2", "clip_i", "dino", "psnr", "ssim", "lpips", "outside", "consistency")

# Where a benchmark keeps sums, a figure is the ratio of two of them over all samples.
RATIOS = {"inside": ("inside_sum", "wanted_sum"), "outside": ("outside_sum", "outside_pixels")}

Summary = dict[str, dict[str, dict[str, dict[str, Any]]]]


def summarise(run: Run) -> Summary:
    """group → row → figure → {mean, low, high, count, replicates, sd}: see statistics.estimate. A figure that is
    defined for some samples only is the mean over those, and `count` says how many; sessions are drawn whole."""
    return {
        group: {
            row["name"]: {
                figure: asdict(found)
                for figure in figures_of(run)
                if (found := _estimate(run, row["name"], figure, group)) is not None
            }
            for row in run.info["rows"]
        }
        for group in run.groups()
    }


def figures_of(run: Run) -> list[str]:
    """The figures that any row has, in the order of the columns."""
    every = (figures for seeds in run.rows.values() for turns in seeds.values() for figures in turns.values())
    known = {name for figures in every for name in figures}
    known |= {name for name, sums in RATIOS.items() if known.issuperset(sums)}
    return [name for name in FIGURES if name in known]


def _estimate(run: Run, row: str, figure: str, group: str) -> Estimate | None:
    turns, (values,) = defined(run, [row], figure, group)
    if turns:
        return estimate(values, clusters(run, turns))
    if figure in RATIOS and (turns := run.turns(group)):
        above, below = (run.values(row, name, turns) for name in RATIOS[figure])
        if np.isfinite(above).all() and np.nansum(below) > 0:
            return ratio(above, below, clusters(run, turns))
    return None


def defined(run: Run, rows: Sequence[str], figure: str, group: str) -> tuple[list[str], list[np.ndarray]]:
    """The turns of a group for which all these rows have the figure, and the rows' values there, [turns, seeds]."""
    turns = run.turns(group)
    values = [run.values(row, figure, turns) for row in rows]
    whole = np.logical_and.reduce([~np.isnan(value).any(axis=1) for value in values])
    return [turn for turn, known in zip(turns, whole, strict=True) if known], [value[whole] for value in values]


def clusters(run: Run, turns: Iterable[str]) -> list[str]:
    """Turns of one picture are no independent samples: the picture's name, the folder of their keys, or the session."""
    return [turn.rpartition("/")[0] or run.samples[turn]["session"] for turn in turns]


def differences(run: Run, row: str, against: str, group: str) -> dict[str, Difference]:
    """figure → row − against on the same samples. Ratios of sums are no means, and have none."""
    found = {}
    for figure in figures_of(run):
        turns, (ours, theirs) = defined(run, [row, against], figure, group)
        if turns:
            found[figure] = difference(ours, theirs, clusters(run, turns))
    return found


def heading(figure: str) -> str:
    name, _, better = FIGURES[figure]
    return name + {1: " ↑", -1: " ↓", 0: ""}[better]


def cell(figure: str, value: float | None) -> str:
    return "–" if value is None else format(value, FIGURES[figure][1]).replace("-", "−")


def difference_cell(figure: str, found: Difference) -> str:
    """As `statistics.said`; of shares in points, hundredths of all."""
    places = int(FIGURES[figure][1][1])
    if not FIGURES[figure][1].endswith("%"):
        return said(found, places)
    low, high = (None if value is None else 100 * value for value in (found.low, found.high))
    number, more, rest = said(replace(found, mean=100 * found.mean, low=low, high=high), places).partition(
        ", " if low is None else " ["
    )
    return f"{number} points{more}{rest}"


def markdown(run: Run) -> str:
    """table.md: a table a group with the paper's rows beside ours, then what differs and what is noise."""
    info = run.info
    lines = [f"# {info['suite']}", "", f"`{info['command']}`" if info["command"] else "", ""]
    for group in run.groups():
        lines += [f"## {group}, {len(run.turns(group))} edits, {_seeds(info['seeds'])}", ""]
        lines += [*table(info["summary"][group], info["published"], group), ""]
        lines += _differences(run, group)
    lines += [
        "Means over edits; below each, the 95 % interval as edits are drawn anew. *Published* rows are the paper's, on "
        "its own models; all others were measured by the command above.",
    ]
    for row, count in info["refused"].items():
        lines.append(f"{row} refused {count} edits; its means are over the others.")
    copying = [FIGURES[name][0] for name in REWARD_COPYING if name in figures_of(run)]
    if copying:
        lines.append(f"{', '.join(copying)}: reward an editor that does nothing. Read them beside copy-input.")
    return "\n".join([*lines, ""])


def table(rows: Mapping[str, Mapping[str, Any]], published: Sequence[Mapping[str, Any]], group: str) -> list[str]:
    """Markdown: published rows first, then the measured ones with their intervals."""
    theirs = [row for row in published if row["group"] == group]
    names = {name for row in rows.values() for name in row} | {name for row in theirs for name in row["figures"]}
    columns = [name for name in FIGURES if name in names]
    lines = ["| | " + " | ".join(map(heading, columns)) + " |", "|---|" + "---|" * len(columns)]
    for row in theirs:
        cells = [cell(name, row["figures"].get(name)) for name in columns]
        lines.append(f"| *{row['name']} (published)* | " + " | ".join(cells) + " |")
    for row_name, figures in rows.items():
        cells = [_with_interval(name, figures.get(name)) for name in columns]
        lines.append(f"| {row_name} | " + " | ".join(cells) + " |")
    return lines


def text(run: Run) -> str:
    """table.md for a terminal: means alone, aligned."""
    lines = []
    for group in run.groups():
        rows, published = run.info["summary"][group], [r for r in run.info["published"] if r["group"] == group]
        cells = {f"{row['name']} (published)": dict(row["figures"]) for row in published}
        cells |= {name: {f: found["mean"] for f, found in figures.items()} for name, figures in rows.items()}
        columns = [name for name in FIGURES if any(name in figures for figures in cells.values())]
        if not columns:
            lines += [f"{group}: no figure was measured", ""]
            continue
        heads, width = {name: f"{heading(name):>7}" for name in columns}, max(map(len, cells))
        lines += [f"{group}, {len(run.turns(group))} edits, {_seeds(run.info['seeds'])}", ""]
        lines += [" " * width + "".join(f"  {head}" for head in heads.values())]
        for name, figures in cells.items():
            shown = (f"  {cell(column, figures.get(column)):>{len(head)}}" for column, head in heads.items())
            lines.append(f"{name:<{width}}" + "".join(shown))
        lines.append("")
    return "\n".join(lines)


def _with_interval(figure: str, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    if found["low"] is None:
        return cell(figure, found["mean"])
    return f"{cell(figure, found['mean'])}<br>{cell(figure, found['low'])} to {cell(figure, found['high'])}"


def _differences(run: Run, group: str) -> list[str]:
    """The first editor's row against every other, on the same edits."""
    names = [row["name"] for row in run.info["rows"] if not row["baseline"]]
    others = [row["name"] for row in run.info["rows"] if row["name"] != (names or [""])[0]]
    lines = []
    for other in others if names else []:
        found = differences(run, names[0], other, group)
        told = (f"{FIGURES[name][0]} {difference_cell(name, between)}" for name, between in found.items())
        lines.append(f"- {names[0]} − {other}: {'; '.join(told)}")
    return [*lines, ""] if lines else []


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
