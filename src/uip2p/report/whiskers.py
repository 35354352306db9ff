"""Means and their intervals drawn: one small panel a figure, one line a row, as geometry for the template's SVG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uip2p.evaluate.tables import FIGURES, heading
from uip2p.report.tables import number

Data = dict[str, Any]
LEFT, WIDTH, LINE, TOP, END = 8, 300, 22, 30, 26  # of a panel, in units of the SVG
SHOWN = 12  # panels at most: the first figures of the table
LEAST, MOST = 2, 24  # rows that a panel makes sense of


def panels(group: Data) -> list[Data]:
    """{heading, height, ticks: [(x, text)], rows: [{name, kind, y, x, low, high, text}]} for every figure that two rows
    or more have. kind: "published", "measured" or "baseline". x in [LEFT, LEFT + WIDTH]."""
    found = (_panel(group, figure) for figure in group["columns"][:SHOWN])
    return [panel for panel in found if panel]


def _panel(group: Data, figure: str) -> Data | None:
    rows = list(_rows(group, figure))
    if not LEAST <= len(rows) <= MOST:
        return None
    ends = [end for row in rows for end in (row["mean"], row["low"], row["high"]) if end is not None]
    low, high = min(ends), max(ends)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room

    def place(value: float | None) -> float | None:
        return None if value is None else round(LEFT + WIDTH * (value - low) / (high - low), 1)

    drawn = [
        {"name": row["name"], "kind": row["kind"], "y": TOP + LINE * i + LINE / 2, "x": place(row["mean"]),
         "low": place(row["low"]), "high": place(row["high"]), "text": number(figure, row["mean"])}
        for i, row in enumerate(rows)
    ]  # fmt: skip
    ticks = [(place(value), number(figure, value)) for value in (low + room, high - room)]
    return {"heading": heading(figure), "name": FIGURES[figure][0], "rows": drawn, "ticks": ticks,
            "height": TOP + LINE * len(rows) + END, "foot": TOP + LINE * len(rows)}  # fmt: skip


def _rows(group: Data, figure: str) -> Iterator[Data]:
    for row in group["published"]:
        if figure in row["figures"]:
            yield {"name": row["name"], "kind": "published", "mean": row["figures"][figure], "low": None, "high": None}
    for row in group["measured"]:
        found = row["figures"].get(figure)
        if found and found["mean"] is not None:
            kind = "baseline" if row["baseline"] else "measured"
            yield {"name": row["name"], "kind": kind, **{name: found[name] for name in ("mean", "low", "high")}}
