"""The results of a comparison as markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from uip2p.evaluate.scene_tables import COLUMNS, LEGEND

MAIN = ("l1", "l2", "clip_i", "clip_t", "direction", "score", "inside", "outside_ratio", "success", "judge_success",
        "halfway")  # fmt: skip
PAIRED = ("l1", "l2", "clip_i", "direction", "inside", "outside", "success", "judge_success")
BY_KIND = ("success", "direction", "inside")
ON_CURVES = ("success", "score", "direction", "clip_i", "outside_ratio")
HEADINGS = {"outside_ratio": "outside × trip ↓", "success": "success, oracle ↑", "judge_success": "success, judge ↑"}

Row = Mapping[str, Any]  # of results.json


def heading(figure: str) -> str:
    return HEADINGS.get(figure, COLUMNS[figure][0])


def cell(figure: str, spread: Mapping[str, Any] | None) -> str:
    """ "0.123 ± 0.004", without the second for a single seed, "–" where nothing is defined."""
    if not spread or spread["mean"] is None:
        return "–"
    form = COLUMNS[figure][1]
    mean = format(spread["mean"], form)
    return mean if spread["sd"] is None else f"{mean} ± {format(spread['sd'], form)}"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def figures_table(rows: Mapping[str, Mapping[str, Any] | None], seeds: Mapping[str, int] | None = None) -> str:
    """Name → its figures over the seeds, as lines; a column that no line has is left out."""
    known = {name: figures for name, figures in rows.items() if figures}
    shown = [name for name in MAIN if any((f.get(name) or {}).get("mean") is not None for f in known.values())]
    header = ["", *(["seeds"] if seeds else []), *map(heading, shown)]
    lines = [
        [
            name,
            *([str(seeds.get(name) or "")] if seeds else []),
            *(cell(column, figures.get(column)) for column in shown),
        ]
        for name, figures in known.items()
    ]
    return markdown(header, lines)


def report(results: Mapping[str, Any]) -> str:
    """The whole table.md."""
    rows, references = results["rows"], results["references"]
    test, splits = results["settings"]["test"], ("test", *results["settings"]["test"]["splits"])
    seeds = {row["name"]: len(row["seeds"]) for row in rows}

    def part(split: str, turns: str, table: str) -> dict[str, Any]:
        every = {**references, **{row["name"]: row for row in rows}}
        return {name: each.get(split, {}).get(turns, {}).get(table) for name, each in every.items()}

    def section(title: str, table: dict[str, Any]) -> list[str]:
        return [f"## {title}\n", figures_table(table, seeds)] if any(table.values()) else []

    text = [f"# Comparison `{results['comparison']}`\n"]
    text += [f"{results['about']}\n"] if results["about"] else []
    text += [
        f"`{results['command']}`, commit {results['commit']}. Mean ± standard deviation over training seeds. "
        f"{test['count']} single edits and {test['sessions']} sessions of three, test seed {test['seed']}.\n"
    ]
    text += section("Single edits, mean over all kinds", part("test", "single-turn", "all"))
    text += section("Single edits, mean over the paper's four kinds", part("test", "single-turn", "appendix"))
    text += section("Three turns", part("test", "three-turn", "all"))
    text += _against(results)
    for figure in BY_KIND:
        text += _by_kind(figure, {**references, **{row["name"]: row for row in rows}})
    for split in splits[1:]:
        text += section(f"The {split} split, {test['splits'][split]} single edits", part(split, "single-turn", "all"))
    text += _curve("steps", "Steps", lambda x: f"{x:g}", rows)
    text += _curve("guidance_scale", "Guidance scale s_T", lambda x: f"{x:g}", rows)
    text += _curve("image_guidance_scale", "Image guidance scale s_I", lambda x: f"{x:g}", rows)
    text += _curve("samples", "Pictures seen", lambda x: f"{x:,.0f}", rows)
    text += _sampling(results)
    text += ["## What the columns say\n", "```", LEGEND, "```\n"]
    return "\n".join(text)


def _against(results: Mapping[str, Any]) -> list[str]:
    """What each row gains over one of them, with intervals."""
    other, found = results["settings"]["test"].get("against"), results.get("against")
    if not found:
        return []
    text = [
        f"## Difference to “{other}”\n",
        "Row minus that row on the same cases, with 95 % intervals of a bootstrap over cases and training seeds.\n",
    ]
    parts = (("single-turn", "all", "single edits, all kinds"), ("single-turn", "appendix", "single edits, four kinds"),
             ("three-turn", "all", "three turns"))  # fmt: skip
    for turns, table, title in parts:
        rows = {name: row[turns][table] for name, row in found.items() if table in row.get(turns, {})}
        shown = [figure for figure in PAIRED if any(figure in figures for figures in rows.values())]
        lines = [[name, *(_difference(f, figures.get(f)) for f in shown)] for name, figures in rows.items()]
        text += [markdown([title, *map(heading, shown)], lines)] if rows else []
    return text


def _difference(figure: str, difference: Sequence[float] | None) -> str:
    """ "+0.012 (+0.004 to +0.021)"; "–" where it is not defined."""
    if difference is None:
        return "–"
    form = COLUMNS[figure][1]
    value, low, high = (format(number, f"+{form}") for number in difference)
    return f"{value} ({low} to {high})"


def _by_kind(figure: str, rows: Mapping[str, Row]) -> list[str]:
    tables = {name: row.get("test", {}).get("single-turn", {}).get("kinds") for name, row in rows.items()}
    tables = {
        name: kinds for name, kinds in tables.items() if kinds and any(figure in table for table in kinds.values())
    }
    if not tables:
        return []
    kinds = list(next(iter(tables.values())))
    lines = [
        [name, *(cell(figure, table.get(kind, {}).get(figure)) for kind in kinds)] for name, table in tables.items()
    ]
    return [f"## By kind of edit: {heading(figure)}\n", markdown(["", *kinds], lines)]


def _curve(curve: str, title: str, show: Callable[[float], str], rows: Sequence[Row]) -> list[str]:
    found = {row["name"]: {point["x"]: point["figures"] for point in row["curves"].get(curve, [])} for row in rows}
    places = sorted({x for points in found.values() for x in points})
    lines = [
        [name, heading(figure), *(cell(figure, points.get(x, {}).get(figure)) for x in places)]
        for name, points in found.items()
        for figure in ON_CURVES
        if any(figure in figures for figures in points.values())
    ]
    return [f"## {title}\n", markdown(["", "", *map(show, places)], lines)] if lines else []


def _sampling(results: Mapping[str, Any]) -> list[str]:
    sweep = results["settings"]["sweep"]
    figure = sweep["maximise"]
    lines = []
    for row in results["rows"]:
        own = row["chosen"]
        scales = (f"{own['guidance_scale']:g}", f"{own['image_guidance_scale']:g}")
        value = format(row["validation"][figure], COLUMNS[figure][1])
        minutes = [f"{each['seconds'] / 60:.0f}" for each in row["trained"] if each["seconds"] is not None]
        lines.append([row["name"], f"{row['samples']:,}", ", ".join(minutes), str(own["steps"]), *scales, value])
    grid = " × ".join(str(len(sweep[name])) for name in ("steps", "guidance_scale", "image_guidance_scale"))
    about = (
        f"The same {grid} settings were tried for every row, with its first training seed, on {sweep['count']} "
        f"validation edits (seed {sweep['seed']}); the best `{figure}` was kept.\n"
    )
    header = ["", "pictures seen", "minutes a seed", "steps", "s_T", "s_I", f"{COLUMNS[figure][0]} on validation"]
    return ["## Sampling, chosen on validation\n", about, markdown(header, lines)]
