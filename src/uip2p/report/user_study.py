"""A user study's report.json as a table of the report, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uip2p.report.tables import MEASURED, NONE, PUBLISHED, Cell, Line, Table

Data = dict[str, Any]
KEYS = {"study", "questions", "methods", "raters", "excluded", "figures", "published"}


def is_user_study(found: Mapping[str, Any]) -> bool:
    return set(found) >= KEYS


def user_study_table(study: Data) -> Table:
    """Shares of the votes and Bradley-Terry strengths for each question, with 95 % intervals over raters."""
    questions = list(study["questions"])
    names = [f"Q{number}" for number in range(1, len(questions) + 1)]
    head = [f"{name}, share ↑" for name in names] + [f"{name}, strength ↑" for name in names]
    lines = [
        Line(name, PUBLISHED, [_published(row.get(question)) for question in questions] + [Cell(NONE)] * len(questions))
        for name, row in study["published"].items()
    ]
    for name in study["methods"]:
        rows = [study["figures"][question]["methods"][name] for question in questions]
        cells = [_cell(row["share"], row["share_interval"], ".1%") for row in rows]
        cells += [_cell(row["strength"], row["strength_interval"], "+.2f") for row in rows]
        lines.append(Line(name, MEASURED, cells))
    notes = [f"Q{number}: {question}" for number, question in enumerate(study["questions"].values(), 1)]
    notes.append("Shares of studies with other pictures and another number of methods do not compare.")
    for name, question in zip(names, questions, strict=True):
        alpha = study["figures"][question]["agreement"]
        told = "not defined" if alpha is None else f"{alpha:.2f}"
        notes.append(f"Agreement between raters, {name}: Krippendorff’s α {told}.")
    why = [f"{str(each['rater'])[:8]} ({'; '.join(each['reasons'])})" for each in study["excluded"]]
    notes.append(f"Left out: {', '.join(why)}." if why else "No rater was left out.")
    return Table(head, lines, notes)


def _published(percent: float | None) -> Cell:
    return Cell(NONE) if percent is None else Cell(f"{percent:g}%", value=percent / 100)


def _cell(value: float, interval: Sequence[float] | None, form: str) -> Cell:
    below = " to ".join(format(end, form).replace("-", "−") for end in interval) if interval else ""
    return Cell(format(value, form).replace("-", "−"), below, value=value)
