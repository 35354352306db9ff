"""A report as one HTML page that needs nothing but itself. The template escapes every text: instructions are data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from uip2p.evaluate.runs import NOT_MEASURED
from uip2p.instructions.wording import printable
from uip2p.pages import facts, style
from uip2p.report.collect import Report
from uip2p.report.pictures import GAIN, Example, open_example, plot, tile
from uip2p.report.tables import (
    FIGURES,
    comparison_tables,
    differences_table,
    figures_table,
    kinds_tables,
    missing_lines,
    named_lines,
    number,
)
from uip2p.report.user_study import user_study_table
from uip2p.report.whiskers import panels

Data = dict[str, Any]


def html(report: Report) -> tuple[str, list[str]]:
    """(the page, pictures that are not there)."""
    import jinja2
    from markupsafe import Markup

    missing: list[str] = []
    suites = [suite(data, run, missing) for data, run in zip(report.data["suites"], report.runs, strict=True)]
    compared = [
        {**data, "tables": comparison_tables(data), "plots": drawn([folder / name for name in data["plots"]], missing),
         "facts": made_facts(data)}
        for data, folder in zip(report.data["comparisons"], report.comparisons, strict=True)
    ]  # fmt: skip
    script = files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    own = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["printable"] = printable
    page = environment.from_string(template).render(
        title=title(report.data),
        style=Markup(f"{style()}\n{own}"),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        suites=suites,
        comparisons=compared,
        user_studies=[{**data, "table": user_study_table(data)} for data in report.data["user_studies"]],
        made=facts(report.data["made"]),
        gain=GAIN,
        limit=f"{1 / GAIN:g}",
    )
    return page, missing


def title(data: Data) -> str:
    names = [suite["suite"] for suite in data["suites"]] + [each["name"] for each in data["comparisons"]]
    names += ["user study"] * bool(data["user_studies"])
    return ", ".join(dict.fromkeys(names)) or "nothing"


def suite(data: Data, run: Any, missing: list[str]) -> Data:
    """A suite for the template: its data, and the tables and pictures that are made of them."""
    groups = []
    for group in data["groups"]:
        examples = []
        for example in group["examples"]:
            opened = open_example(run, example, group["shown"])
            missing += opened.missing
            examples.append({**example, "title": example_title(group, example), "strips": strips(opened)})
        groups.append({
            **group, "examples": examples, "ranked_heading": FIGURES[group["ranked_by"]][0] if examples else "",
            "table": figures_table(group), "differences": differences_table(group), "panels": panels(group),
            "by_kind": kinds_tables(group), "held": named_lines(group), "missing": missing_lines(group),
        })  # fmt: skip
    return {
        **data,
        "name": ", ".join(made["name"] for made in data["runs"]),
        "groups": groups,
        "plots": drawn(suite_plots(data, run), missing),
        "facts": [(made["name"], made_facts(made)) for made in data["runs"]],
        "settings": facts({"captions": data["captions"], "seeds": data["seeds"], **data["settings"]}),
        "metrics": computed_with(data["metrics"]),
        "editors": [(row["name"], said(row["editor"]), seconds(row["seconds"])) for row in data["rows"]],
    }


def computed_with(metrics: Data) -> list[tuple[str, str]]:
    """(figure, what it was computed with); what was not measured is said with the tables that lack it."""
    known = {name: about for name, about in metrics.items() if name != NOT_MEASURED}
    return [(FIGURES[name][0] if name in FIGURES else name, said(about)) for name, about in known.items()]


def suite_plots(data: Data, run: Any) -> list[Path]:
    """Where the plots of a suite's runs lie."""
    made = zip(data["runs"], run.info["folders"], strict=True)
    return [folder / name for each, folder in made for name in each["plots"]]


def example_title(group: Data, example: Data) -> str:
    """ "best of single-turn: L1 0.0123"."""
    figure = group["ranked_by"]
    kind = f", kind “{example['of_kind']}”" if example["of_kind"] else ""
    return f"{example['rank']}{kind}: {FIGURES[figure][0]} {number(figure, example['value'])}"


def strips(example: Example) -> list[Data]:
    """Rows of three: what was asked, then each output. [{name, cells: [{caption, alt, tile}]}]"""

    def cell(caption: str, alt: str, picture: Any, expected: bool = True) -> Data | None:
        if picture is None and not expected:
            return None
        return {"caption": caption, "alt": alt, "tile": tile(picture) if picture is not None else None}

    asked = [
        cell("input", "The picture before the edit", example.input),
        cell("ground truth", "The ground truth", example.target, example.target is not None),
        cell("|ground truth − input|", "Where the ground truth differs from the input", example.wanted, False),
    ]
    found = [{"name": "asked", "cells": [each for each in asked if each]}]
    for row in example.rows:
        cells = [
            cell("output", f"What {row.name} made of it", row.output),
            cell("|output − input|", f"Where the output of {row.name} differs from the input", row.from_input, False),
            cell("|output − ground truth|", f"Where the output of {row.name} differs from the ground truth",
                 row.from_target, False),
        ]  # fmt: skip
        found.append({"name": row.name, "cells": [each for each in cells if each]})
    return found


def drawn(paths: list[Any], missing: list[str]) -> list[Data]:
    """Plots of a folder: {name, alt, tile}."""
    found = []
    for path in paths:
        picture = plot(path)
        if picture is None:
            missing.append(f"plot {path.name}")
        else:
            alt = f"Plot “{path.stem}” of {path.parent.resolve().name}"
            found.append({"name": path.stem, "alt": alt, "tile": picture})
    return found


def said(about: Any) -> str:
    """A description on one line."""
    if isinstance(about, Mapping):
        return "; ".join(f"{name}: {value}" for name, value in facts(about))
    return printable(str(about))


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} s"


def made_facts(made: Data) -> list[tuple[str, str]]:
    return facts({name: made.get(name) for name in ("command", "commit", "machine", "versions", "test")})
