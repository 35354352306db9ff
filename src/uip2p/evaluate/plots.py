"""The curves of a run as pictures. A model has one colour, line and marker in all of them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uip2p.evaluate.runs import Run
from uip2p.evaluate.statistics import Difference
from uip2p.evaluate.tables import FIGURES, heading
from uip2p.images import write_atomic

# Okabe and Ito's colours, told apart by colour-blind people too; yellow is left out, as it is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES, MARKERS = ("-", "--", ":", "-."), ("o", "s", "^", "D", "v", "P", "X")
GREY, PUBLISHED = "#8a8a8a", "#6b6b6b"
COLUMNS = 4  # panels side by side

Ends = tuple[tuple[float, float], tuple[float, float]]  # of a published curve: (x, y) of either end


def style(number: int) -> dict[str, Any]:
    """Of the run's model of that number."""
    return {
        "color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number // len(COLOURS) % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)], "markersize": 5, "linewidth": 1.6, "capsize": 2,
    }  # fmt: skip


def trade_off(
    run: Run, group: str, axes: Sequence[tuple[str, str, str]], published: Mapping[str, Ends], moves: str, path: Path
) -> Path:
    """What is kept against what is done, as a scale moves, with 95 % intervals: InstructPix2Pix's figure.

    axes: (figure of x, figure of y, title), a panel each. published: name → the two ends of its curve, all that is
    known of it: dashed and behind. moves: what changes along a line; its value stands at the ends. Rows that are
    nobody's work stand still: crosses."""
    picture, panels = _panels(len(axes), 5.4, 4.6, len(axes))
    summary = run.info["summary"][group]
    for panel, (across, up, title) in zip(panels, axes, strict=True):
        for number, (name, ends) in enumerate(published.items()):
            x, y = zip(*ends, strict=True)
            panel.plot(
                x, y, color=PUBLISHED, linestyle="--", marker=MARKERS[number], markerfacecolor="white", markersize=6,
                linewidth=1, zorder=1, label=f"{name}: published, digitised end points",
            )  # fmt: skip
        for row, marker in zip(_baselines(run), ("x", "+", "1", "2"), strict=False):
            if at := _point(summary[row["name"]], across, up):
                panel.plot(
                    *at, color=COLOURS[-1], marker=marker, markersize=8, linestyle="none", zorder=2, label=row["name"]
                )
        for number, (model, rows) in enumerate(_curves(run).items()):
            _curve(panel, [(row["x"], summary[row["name"]]) for row in rows], across, up, model, style(number))
        panel.margins(0.12)
        panel.locator_params(axis="x", nbins=6)
        panel.set_xlabel(heading(across))
        panel.set_ylabel(heading(up))
        panel.set_title(f"{title}\n{moves} moves along each line" if title else f"{moves} moves along each line",
                        fontsize=9, loc="left")  # fmt: skip
    return _save(picture, panels, path, legend_columns=1 if len(axes) == 1 else 2)


def against_x(run: Run, group: str, figures: Sequence[str], label: str, path: Path) -> Path:
    """One panel a figure: a line a model over the rows' x, on a logarithmic axis, with 95 % intervals; what is nobody's
    work as level lines."""
    picture, panels = _panels(len(figures), 3.4, 3.0)
    summary = run.info["summary"][group]
    places = sorted({row["x"] for rows in _curves(run).values() for row in rows})
    for panel, figure in zip(panels, figures, strict=False):
        for row, line in zip(_baselines(run), (":", "-.", (0, (1, 4))), strict=False):
            if known := summary[row["name"]].get(figure):
                panel.axhline(known["mean"], color=GREY, linestyle=line, linewidth=1, label=row["name"], zorder=1)
        for number, (model, rows) in enumerate(_curves(run).items()):
            known = [(row["x"], summary[row["name"]][figure]) for row in rows if figure in summary[row["name"]]]
            means = [each["mean"] for _, each in known]
            panel.errorbar(
                [x for x, _ in known], means, yerr=_bars([each for _, each in known]), label=model, elinewidth=0.8,
                **style(number),
            )  # fmt: skip
        panel.set_xscale("log")
        panel.set_xticks(places, [f"{place:g}" for place in places])
        panel.minorticks_off()
        panel.set_xlabel(label)
        panel.set_title(heading(figure), fontsize=9, loc="left")
    return _save(picture, panels[: len(figures)], path)


def changes(
    found: Mapping[str, Mapping[str, Difference]], published: Mapping[str, Mapping[str, float]], path: Path
) -> Path:
    """What each step changes, a panel a figure: dots with 95 % intervals, hollow where they are inside the noise, and
    the published changes beside them. found, published: step → figure → change. A figure's good side is tinted."""
    figures = [name for name in FIGURES if any(name in each for each in found.values())]
    picture, panels = _panels(len(figures), 2.6, 3.0)
    for panel, figure in zip(panels, figures, strict=False):
        panel.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        for place, (step, differences) in enumerate(found.items()):
            if (ours := differences.get(figure)) is not None:
                panel.errorbar(
                    [place - 0.12], [ours.mean], yerr=_bars([{"mean": ours.mean, "low": ours.low, "high": ours.high}]),
                    color=COLOURS[0], marker="o", markersize=6, capsize=3, linestyle="none",
                    markerfacecolor="white" if ours.noise else COLOURS[0],
                    label="measured here (hollow: inside the noise)" if place == 0 else None,
                )  # fmt: skip
            if (theirs := published.get(step, {}).get(figure)) is not None:
                panel.plot(
                    [place + 0.12], [theirs], color=PUBLISHED, marker="D", markersize=6, markerfacecolor="white",
                    linestyle="none", label="published" if place == 0 else None,
                )  # fmt: skip
        panel.margins(y=0.2)
        panel.set_xticks(range(len(found)), list(found))
        panel.set_xlim(-0.6, len(found) - 0.4)
        if better := FIGURES[figure][2]:
            low, high = panel.get_ylim()
            span = (0, max(high, 0)) if better > 0 else (min(low, 0), 0)
            panel.axhspan(*span, color=COLOURS[2], alpha=0.07, label="the better side")
            panel.set_ylim(low, high)
        panel.set_title(f"change of {heading(figure)}", fontsize=9, loc="left")
    return _save(picture, panels[: len(figures)], path)


def _curves(run: Run) -> dict[str, list[Mapping[str, Any]]]:
    """Model → its rows that have a place on a curve, from left to right."""
    models: dict[str, list[Mapping[str, Any]]] = {}
    for row in run.info["rows"]:
        if row["x"] is not None and not row["baseline"]:
            models.setdefault(row["model"], []).append(row)
    return {model: sorted(rows, key=lambda row: row["x"]) for model, rows in models.items()}


def _baselines(run: Run) -> list[Mapping[str, Any]]:
    return [row for row in run.info["rows"] if row["baseline"]]


def _point(figures: Mapping[str, Any], across: str, up: str) -> tuple[float, float] | None:
    return (figures[across]["mean"], figures[up]["mean"]) if across in figures and up in figures else None


def _curve(
    panel: Any, points: Sequence[tuple[float, Any]], across: str, up: str, name: str, look: Mapping[str, Any]
) -> None:
    known = [(x, figures) for x, figures in points if _point(figures, across, up)]
    if not known:
        return
    places = [_point(figures, across, up) or () for _, figures in known]
    panel.errorbar(
        *zip(*places, strict=True), label=name, elinewidth=0.6, zorder=3,
        xerr=_bars([figures[across] for _, figures in known]), yerr=_bars([figures[up] for _, figures in known]),
        **look,
    )  # fmt: skip
    still = len(set(places)) == 1  # as with s_I where guidance is off: one place, one label
    for at in {0} if still else {0, len(known) - 1}:
        text = f"{known[0][0]:g} to {known[-1][0]:g}" if still and len(known) > 1 else f"{known[at][0]:g}"
        panel.annotate(text, places[at], (5, 5), textcoords="offset points", fontsize=8, color=look["color"])


def _bars(estimates: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """[below, above] as matplotlib takes intervals; a mean that has none gets a bar of no length."""
    return [[_length(each["mean"], each[end]) for each in estimates] for end in ("low", "high")]


def _length(mean: float, end: float | None) -> float:
    return abs(end - mean) if end is not None and math.isfinite(end) else 0.0


def _panels(count: int, width: float, height: float, columns: int = COLUMNS) -> tuple[Figure, list[Any]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    picture = Figure(figsize=(width * columns, height * rows + 0.6), layout="constrained")
    panels = list(picture.subplots(rows, columns, squeeze=False).flat)
    for unused in panels[count:]:
        unused.set_axis_off()
    return picture, panels


def _save(picture: Figure, panels: Sequence[Any], path: Path, legend_columns: int = 3) -> Path:
    named: dict[str, Any] = {}
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        named |= {name: handle for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    picture.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=legend_columns, fontsize=8, frameon=False
    )
    FigureCanvasAgg(picture)
    encoded = io.BytesIO()
    picture.savefig(encoded, format="png", dpi=150, metadata={"Software": None})
    return write_atomic(path, encoded.getvalue())
