"""The curves of a comparison as pictures. A row has one colour, line and marker everywhere, whichever are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uip2p.compare.tables import heading
from uip2p.evaluate.plots import style

Row = Mapping[str, Any]  # of results.json


def draw(results: Mapping[str, Any], names: Sequence[str], folder: Path) -> list[Path]:
    """Writes steps.png, trade-off.png, guidance.png and samples.png, those of which there is a curve. names: of all the
    comparison's rows, from whose order the colours come."""
    styles = {name: style(number) for number, name in enumerate(names)}
    rows = results["rows"]
    drawn = [
        _against_x(rows, styles, "steps", "sampling steps", ("success", "outside_ratio"), logarithmic=True),
        _trade_off(rows, styles, "image_guidance_scale", "image guidance s_I"),
        _trade_off(rows, styles, "guidance_scale", "guidance s_T"),
        _against_x(rows, styles, "samples", "pictures seen in training", ("success", "outside_ratio")),
    ]
    paths = []
    for name, figure in zip(("steps.png", "trade-off.png", "guidance.png", "samples.png"), drawn, strict=True):
        if figure is not None:
            folder.mkdir(parents=True, exist_ok=True)
            FigureCanvasAgg(figure)
            figure.savefig(folder / name, dpi=150, metadata={"Software": None})
            paths.append(folder / name)
    return paths


def _against_x(
    rows: Sequence[Row],
    styles: Mapping[str, Any],
    curve: str,
    label: str,
    figures: Sequence[str],
    logarithmic: bool = False,
) -> Figure | None:
    """One panel a figure; bars are standard deviations over seeds."""
    shown = [row for row in rows if row["curves"].get(curve)]
    if not shown:
        return None
    picture, panels = _panels(len(figures))
    for panel, figure in zip(panels, figures, strict=True):
        for row in shown:
            points = [point for point in row["curves"][curve] if _mean(point, figure) is not None]
            x, y = [point["x"] for point in points], [_mean(point, figure) for point in points]
            panel.errorbar(
                x, y, yerr=[_sd(point, figure) for point in points], label=row["name"], **styles[row["name"]]
            )
        if logarithmic:
            places = sorted({point["x"] for row in shown for point in row["curves"][curve]})
            panel.set_xscale("log")
            panel.set_xticks(places, [f"{place:g}" for place in places])
            panel.minorticks_off()
        panel.set_xlabel(label)
        panel.set_ylabel(heading(figure))
    return _finish(picture, panels)


def _trade_off(rows: Sequence[Row], styles: Mapping[str, Any], curve: str, label: str) -> Figure | None:
    """What is kept against what is done, as a scale moves: InstructPix2Pix's figure. A line's ends bear the scale."""
    shown = [row for row in rows if row["curves"].get(curve)]
    if not any(_mean(point, "direction") is not None for row in shown for point in row["curves"][curve]):
        return None
    picture, panels = _panels(2)
    for panel, figure in zip(panels, ("clip_i", "outside_ratio"), strict=True):
        for row in shown:
            points = row["curves"][curve]
            points = [p for p in points if _mean(p, figure) is not None and _mean(p, "direction") is not None]
            x, y = ([_mean(point, name) for point in points] for name in ("direction", figure))
            bars = {f"{axis}err": [_sd(p, name) for p in points] for axis, name in (("x", "direction"), ("y", figure))}
            panel.errorbar(x, y, **bars, label=row["name"], elinewidth=0.6, **styles[row["name"]])
            still = len(set(zip(x, y, strict=True))) == 1  # as with s_I where guidance is off: one place, one label
            for at in ({0} if still else {0, len(points) - 1}) if points else ():
                text = "any" if still else f"{points[at]['x']:g}"
                panel.annotate(text, (x[at], y[at]), xytext=(4, 4), textcoords="offset points", fontsize=7)
        panel.locator_params(axis="x", nbins=6)
        panel.set_xlabel(heading("direction"))
        panel.set_ylabel(heading(figure))
    panels[0].set_title(f"{label} moves along each line", fontsize=9, loc="left")
    return _finish(picture, panels)


def _panels(count: int) -> tuple[Figure, list[Any]]:
    picture = Figure(figsize=(4.6 * count, 4.6), layout="constrained")
    return picture, list(picture.subplots(1, count, squeeze=False)[0])


def _finish(picture: Figure, panels: Sequence[Any]) -> Figure:
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return picture


def _mean(point: Mapping[str, Any], figure: str) -> float | None:
    return (point["figures"].get(figure) or {}).get("mean")


def _sd(point: Mapping[str, Any], figure: str) -> float:
    return (point["figures"].get(figure) or {}).get("sd") or 0.0
