"""The same report as Markdown, with its pictures in a folder beside it: what a repository shows of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from uip2p.images import save_image, write_atomic
from uip2p.instructions.wording import printable
from uip2p.pages import facts
from uip2p.report.collect import Report
from uip2p.report.page import computed_with, example_title, made_facts, said, seconds, suite_plots, title
from uip2p.report.pictures import open_example, sheet
from uip2p.report.tables import (
    BASELINE,
    PUBLISHED,
    Cell,
    Line,
    Table,
    comparison_tables,
    differences_table,
    figures_table,
    kinds_tables,
    missing_lines,
    named_lines,
)
from uip2p.report.user_study import user_study_table

Data = dict[str, Any]
NOT_NAMED = "No row measured here bears the name of a published one: nothing published is reproduced or refuted here."
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(report: Report, page: Path) -> str:
    """page: where the HTML lies; contact sheets are written into the folder `<its name>-pictures`."""
    pictures = page.with_name(f"{page.stem}-pictures")
    lines = [f"# Report: {text(title(report.data))}", "", f"With all its pictures: [{page.name}]({page.name}).", ""]
    lines += ["*Published* rows stand in a paper; all others were measured here, by the commands below.", ""]
    for number, (data, run) in enumerate(zip(report.data["suites"], report.runs, strict=True), 1):
        lines += _suite(data, run, pictures, number) + _plots(suite_plots(data, run), page, pictures)
    for data, folder in zip(report.data["comparisons"], report.comparisons, strict=True):
        about = f"{text(data['about'])} Mean ± standard deviation over training seeds."
        lines += [f"## {text(data['name'])}", "", about, ""]
        for heading, first, second in comparison_tables(data):
            lines += [f"### {heading}", "", *_table(first), *(_table(second) if second else [])]
        lines += _plots([folder / name for name in data["plots"]], page, pictures) + _facts(made_facts(data))
    for data in report.data["user_studies"]:
        table = user_study_table(data)
        asked = f"{data['raters']} raters, {len(data['samples'])} edits."
        lines += [f"## User study {text(data['name'])}", "", asked, ""]
        lines += [*_table(table), *_list(table.notes)]
    return "\n".join(lines)


def _suite(data: Data, run: Any, pictures: Path, number: int) -> list[str]:
    names = ", ".join(made["name"] for made in data["runs"])
    lines = [f"## {text(data['suite'])}", "", f"{data['samples']} scored edits: {text(names)}. "
             "Means over edits; below each its 95 % interval as edits are drawn anew.", ""]  # fmt: skip
    for group in data["groups"]:
        lines += [f"### {text(group['name'])}: {group['edits']} edits", "", *_table(figures_table(group))]
        lines += _list(figures_table(group).notes)
        if differences := differences_table(group):
            lines += ["Differences on the same edits:", "", *_table(differences), *_list(group["verdicts"])]
        for name, table in kinds_tables(group):
            lines += [f"{text(name)} by kind of edit:", "", *_table(table)]
        if group["published"]:
            lines += _list(named_lines(group) or [NOT_NAMED])
        lines += _list(missing_lines(group))
        examples = [open_example(run, example, group["shown"]) for example in group["examples"]]
        drawn = sheet(examples, [f"{each['rank']} {each['of_kind']}".strip() for each in group["examples"]])
        if drawn:
            pictures.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"[^\w.-]+", "-", f"{number}-{data['suite']}-{group['name']}.png")
            save_image(drawn, pictures / name)
            lines += [f"![Best, median and worst edits]({quote(f'{pictures.name}/{name}')})", ""]
            asked = [(example_title(group, each), "; ".join(each["instructions"])) for each in group["examples"]]
            lines += _list([f"{title}: “{instructions}”" for title, instructions in asked])
    for made in data["runs"]:
        lines += _facts(made_facts(made))
    lines += _facts(facts({"captions": data["captions"], "seeds": data["seeds"], **data["settings"]}))
    lines += _rows(["row", "what it is", "an edit"],
                   [[row["name"], said(row["editor"]), seconds(row["seconds"])] for row in data["rows"]])  # fmt: skip
    lines += _rows(["figure", "computed with"], computed_with(data["metrics"]))
    return lines


def _table(table: Table) -> list[str]:
    return [
        f"| | {' | '.join(map(text, table.head))} |",
        "|---" * (len(table.head) + 1) + "|",
        *(f"| {_name(line)} | {' | '.join(map(_cell, line.cells))} |" for line in table.lines),
        "",
    ]


def _name(line: Line) -> str:
    if line.origin == PUBLISHED:
        return f"*{text(line.name)} (published)*"
    return f"{text(line.name)} (baseline)" if line.origin == BASELINE else text(line.name)


def _cell(cell: Cell) -> str:
    shown = f"**{cell.text}**" if cell.best else cell.text
    return f"{shown}<br>{cell.below}" if cell.below else shown


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    told = [f"| {' | '.join(map(text, row))} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *told, ""]


def _list(lines: Sequence[str]) -> list[str]:
    return [*(f"- {text(line)}" for line in lines), ""] if lines else []


def _facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return _list([f"{name}: {value}" for name, value in pairs])


def _plots(paths: Sequence[Path], page: Path, pictures: Path) -> list[str]:
    """Links to plots; those that do not lie at or below the report are copied beside it."""
    here, links = page.parent.resolve(), []
    for path in (path.resolve() for path in paths if path.is_file()):
        if not path.is_relative_to(here):
            pictures.mkdir(parents=True, exist_ok=True)
            path = write_atomic(pictures / f"{path.parent.name}-{path.name}", path.read_bytes()).resolve()
        links += [f"![{text(path.stem)}]({quote(path.relative_to(here).as_posix())})", ""]
    return links


def text(words: str) -> str:
    """As it stands, on one line: nothing in it is markup."""
    return SPECIAL.sub(r"\\\1", printable(" ".join(words.split())))
