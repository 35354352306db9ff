"""Run folders → one plain data structure: report.json, and all that the page and the Markdown say.

Nothing in it is chosen by hand. Examples are chosen by rank, a best figure is one that the next best does not reach
within the noise, and what was not measured is named. No path of this machine is in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from uip2p.errors import UserError, first_line
from uip2p.evaluate.rows import commit, versions
from uip2p.evaluate.runs import RUN, Run, load_run
from uip2p.evaluate.tables import summarise
from uip2p.report.examples import examples_of
from uip2p.report.groups import Pairs, group_of
from uip2p.report.user_study import is_user_study

FORMAT = 1
COMPARISON, USER_STUDY = "results.json", "report.json"  # what `uip2p compare` and `uip2p study report` write
FILES = (RUN, COMPARISON, USER_STUDY)

Data = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """data: ready for JSON. runs: of data["suites"], in their order, from which pictures are read. comparisons: folders
    of data["comparisons"]."""

    data: Data
    runs: Sequence[Run]
    comparisons: Sequence[Path]


def collect(folders: Sequence[Path], by: str | None = None, command: str | None = None) -> Report:
    """folders: of runs, of comparisons, of a user study, in any order. by: the figure that examples are ranked by.
    UserError: a folder is none of these, is not finished, or has no such figure."""
    runs, comparisons, studies = [], [], []
    for folder in dict.fromkeys(folders):
        if (folder / RUN).is_file():
            runs.append(load_run(folder))
        elif (folder / COMPARISON).is_file():
            comparisons.append(folder)
        elif (folder / USER_STUDY).is_file():
            studies.append(folder)
        else:
            raise UserError(
                f"{folder}: is not a run's folder: it has no {RUN} (uip2p evaluate --out), no {COMPARISON} (uip2p "
                f"compare) and no {USER_STUDY} (uip2p study report)."
            )
    joined = join(runs)
    data: Data = {
        "format": FORMAT,
        "made": {"command": command, "commit": commit(), "versions": versions()},
        "suites": [suite_of(run, by) for run in joined],
        "comparisons": [comparison_of(folder) for folder in comparisons],
        "user_studies": [user_study_of(folder) for folder in studies],
    }
    groups = [group for suite in data["suites"] for group in suite["groups"]]
    if by is not None and by not in {group["ranked_by"] for group in groups}:
        figures = sorted({figure for group in groups for figure in group["columns"]})
        raise UserError(f"--by {by}: no run has it for every edit's rank. What was measured: {', '.join(figures)}.")
    return Report(finite(data), joined, comparisons)


# Runs of one question are one table

def join(runs: Sequence[Run]) -> list[Run]:
    """Runs that asked the same (suite, settings, captions, seeds, turns) and measured it in the same way become one
    run with the rows of all: only then may figures stand beside one another, and have pairs on the same samples."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        same = [run.info[name] for name in ("suite", "settings", "captions", "seeds", "metrics")]
        alike.setdefault(json.dumps([*same, list(run.samples)], sort_keys=True), []).append(run)
    return [_joined(several) for several in alike.values()]


def _joined(runs: Sequence[Run]) -> Run:
    """Rows of the same name are one row if they are the same editor; else the later ones bear their run's name."""
    entries: list[Data] = []
    rows: dict[str, Any] = {}
    summary: dict[str, Data] = {}
    seconds: dict[str, float | None] = {}
    for run in runs:
        for entry in run.info["rows"]:
            if any(entry["made"] == known["made"] and entry["name"] == known["was"] for known in entries):
                continue
            name = entry["name"]
            if any(name == known["name"] for known in entries):
                name = f"{name} ({run.folder.resolve().name})"
            place = (run.folder / entry["folder"]).resolve()
            entries.append({**entry, "name": name, "was": entry["name"], "folder": str(place), "run": run.folder})
            rows[name] = run.rows[entry["name"]]
            seconds[name] = (run.info.get("seconds") or {}).get(entry["name"])
            for group, table in (run.info.get("summary") or summarise(run)).items():
                summary.setdefault(group, {})[name] = table[entry["name"]]
    info = {
        **runs[0].info, "rows": entries, "summary": summary, "seconds": seconds, "runs": [_made(run) for run in runs],
        "folders": [run.folder for run in runs],
    }  # fmt: skip
    return replace(runs[0], info=info, rows=rows)


def _made(run: Run) -> Data:
    """How a run was made."""
    info = {name: run.info.get(name) for name in ("command", "commit", "machine", "versions")}
    return {"name": run.folder.resolve().name, **info, "plots": [path.name for path in plots(run.folder)]}


def plots(folder: Path) -> list[Path]:
    """What a run, or a comparison, has drawn."""
    return sorted(folder.glob("*.png"))


def suite_of(run: Run, by: str | None = None) -> Data:
    """All of one table: how it was made, and each group's rows, differences and examples."""
    info, pairs, seconds = run.info, Pairs(run), run.info["seconds"]
    shown = ("name", "model", "x", "baseline", "editor")
    groups = [{**group_of(run, group, pairs), **examples_of(run, group, by)} for group in run.groups()]
    return {
        "suite": info["suite"],
        "runs": info["runs"],
        "seeds": info["seeds"],
        "captions": info["captions"],
        "settings": info["settings"],
        "metrics": info["metrics"],
        "samples": len(run.samples),
        "rows": [
            {**{name: row[name] for name in shown}, "run": row["run"].resolve().name, "seconds": seconds[row["name"]]}
            for row in info["rows"]
        ],
        "groups": groups,
    }


# Comparisons and user studies

def comparison_of(folder: Path) -> Data:
    """What `uip2p compare` found: its tables, rows trained with several seeds, without their sweeps and curves, which
    are in the folder's plots. UserError: the file is none of its."""
    results = read_json(folder / COMPARISON)
    try:
        tables = []
        for title, turns, table in PARTS:
            every = {**results["references"], **{row["name"]: row for row in results["rows"]}}
            seeds = {row["name"]: len(row["seeds"]) for row in results["rows"]}
            rows = [
                {"name": name, "seeds": seeds.get(name), "figures": row["test"][turns][table],
                 "against": results["against"].get(name, {}).get(turns, {}).get(table)}
                for name, row in every.items() if table in row["test"].get(turns, {})
            ]  # fmt: skip
            tables += [{"title": title, "rows": rows}] if rows else []
        return {
            "name": results.get("comparison") or results["study"],
            **{name: results[name] for name in ("about", "command", "commit", "versions")},
            "test": results["settings"]["test"],
            "tables": tables,
            "plots": [path.name for path in plots(folder)],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / COMPARISON}: is not what uip2p compare writes ({error!r}).") from error


PARTS = (
    ("Single edits, mean over all kinds", "single-turn", "all"),
    ("Single edits, mean over the paper's four kinds", "single-turn", "appendix"),
    ("Three turns", "three-turn", "all"),
)


def user_study_of(folder: Path) -> Data:
    """What `uip2p study report` found, as it stands. UserError: another program's report.json, or this one's own."""
    found = read_json(folder / USER_STUDY)
    if not is_user_study(found):
        raise UserError(f"{folder / USER_STUDY}: is not what uip2p study report writes. Give the folder of a run.")
    return {"name": folder.resolve().name, **found}


# JSON

def read_json(path: Path) -> Data:
    """UserError: it cannot be read, or holds no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}).") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: must hold an object.")
    return found


def finite(value: Any) -> Any:
    """The same, with None for numbers that JSON has not (the PSNR of two equal pictures), and no dataclasses."""
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return finite(asdict(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
