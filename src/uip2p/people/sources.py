"""Where the edits of several methods lie: run folders of `uip2p evaluate`, or plain folders of pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uip2p.datasets.folder import read_rows
from uip2p.errors import UserError
from uip2p.images import WRITERS


@dataclass(frozen=True, slots=True)
class Sample:
    """One edit by every method. outputs: method → its picture, which may not be there yet: `create` looks."""

    key: str
    instruction: str
    source: Path
    outputs: Mapping[str, Path]


def from_runs(runs: Sequence[Path], names: Sequence[str]) -> list[Sample]:
    """The turns that all the runs have, edited by the named rows, or by every row that is no baseline; of several
    seeds, the first. Turns on an editor's own output are left out: there each method had another input.

    UserError: no run, no such row, a row of that name in two runs, instructions that differ, nothing in common."""
    chosen: dict[str, Path] = {}  # row → the folder of its outputs
    turns: list[dict[str, dict[str, Any]]] = []
    rows_seen: list[str] = []
    for run in runs:
        about = _json(run / "run.json")
        seed = about.get("seeds", [0])[0]
        turns.append(_turns(run))
        for row in about["rows"]:
            rows_seen.append(row["name"])
            if (row["name"] in names) if names else not row.get("baseline"):
                if row["name"] in chosen:
                    raise UserError(f"{run}: a row of an earlier run is also called {row['name']!r}. Name one of them.")
                chosen[row["name"]] = run / row["folder"] / f"seed-{seed}"
    if unknown := [name for name in names if name not in chosen]:
        raise UserError(f"--rows: no run has {', '.join(unknown)}; there are {', '.join(rows_seen)}.")
    rows = {name: chosen[name] for name in names or chosen}

    samples = []
    for key, turn in turns[0].items():
        if all(key in other for other in turns):
            if len({other[key]["instruction"] for other in turns}) > 1:
                raise UserError(f"turn {key}: the runs asked for different things. Take runs of one suite.")
            outputs = {name: folder / f"{key}.png" for name, folder in rows.items()}
            samples.append(Sample(key, turn["instruction"], runs[0] / turn["source"], outputs))
    if not samples:
        raise UserError(f"{', '.join(map(str, runs))}: no turn with an input picture is in every run.")
    return samples


def _turns(run: Path) -> dict[str, dict[str, Any]]:
    path = run / "samples.jsonl"
    found = {}
    for row, where in read_rows(path):
        if not isinstance(row.get("turn"), str) or not isinstance(row.get("instruction"), str):
            raise UserError(f"{where}: a turn needs `turn` and `instruction`. Is this the folder of a run?")
        if row.get("source"):
            found[row["turn"]] = row
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(read["rows"], list):
            raise TypeError("rows is no list")
        return read
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file. Name the folder of a run of `uip2p evaluate`.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is not the description of a run ({error}).") from None


def from_folders(methods: Mapping[str, Path], inputs: Path) -> list[Sample]:
    """The rows of metadata.jsonl (file_name, instruction), edited by plain folders: of `images/7.png` the output is
    `images/7` or `7` in the method's folder, with any ending of a picture.

    UserError: no such folder, a row without file_name or instruction, a file_name that is there twice."""
    for name, folder in methods.items():
        if not folder.is_dir():
            raise UserError(f"--method {name}: {folder} is no folder.")
    metadata = inputs / "metadata.jsonl" if inputs.is_dir() else inputs
    samples: dict[str, Sample] = {}
    for row, where in read_rows(metadata):
        file_name, instruction = row.get("file_name"), row.get("instruction")
        for field, value in (("file_name", file_name), ("instruction", instruction)):
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"{where}: the field {field!r} must be text that is not empty, got {value!r}.")
        assert isinstance(file_name, str) and isinstance(instruction, str)
        if file_name in samples:
            raise UserError(f"{where}: {file_name} is there twice, so its edits cannot be told apart.")
        outputs = {name: _output(folder, Path(file_name)) for name, folder in methods.items()}
        samples[file_name] = Sample(file_name, instruction, metadata.parent / file_name, outputs)
    if not samples:
        raise UserError(f"{metadata}: has no rows.")
    return list(samples.values())


def _output(folder: Path, name: Path) -> Path:
    """The method's picture, or where it was expected."""
    places = [folder / stem for stem in dict.fromkeys((name, Path(name.name)))]
    endings = dict.fromkeys((name.suffix, *WRITERS))
    tried = [place.with_suffix(ending) for place in places for ending in endings]
    return next((path for path in tried if path.is_file()), places[-1])
