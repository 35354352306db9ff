"""A run's folder: what `uip2p evaluate --out RUN` leaves behind, and everything that reads it needs.

    run.json                       how it was made, and the summary
    samples.jsonl                  a line a scored turn: what was asked, where its pictures lie
    inputs/ targets/ masks/        pictures that do not lie on the disk elsewhere
    <row>/seed-<s>/<key>.png       outputs
    <row>/edits*.jsonl             a line an output; a file a shard
    <row>/rows*.jsonl              a line a measured output: its figures
    table.md, plots
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uip2p.errors import UserError
from uip2p.evaluate.rows import read_rows

FORMAT = 1
RUN, SAMPLES, TABLE = "run.json", "samples.jsonl", "table.md"
NOT_MEASURED = "not measured"  # among the metrics' descriptions: figure → why


Turns = dict[str, dict[str, float]]  # turn → figures


@dataclass(frozen=True)
class Run:
    """info: run.json. samples: turn → its line of samples.jsonl. rows: row → seed → turn → figures."""

    folder: Path
    info: dict[str, Any]
    samples: dict[str, dict[str, Any]]
    rows: dict[str, dict[int, Turns]]

    def picture(self, turn: str, what: str) -> Path | None:
        """Where a sample's "source", "target" or "mask" lies; None: it has none."""
        path = self.samples[turn][what]
        return None if path is None else self.folder / path

    def output(self, row: str, turn: str, seed: int | None = None) -> Path:
        """Where a row's output lies; seed: the run's first by default."""
        found = next(entry for entry in self.info["rows"] if entry["name"] == row)
        return output_path(self.folder / found["folder"], self.info["seeds"][0] if seed is None else seed, turn)

    def asked(self, turn: str) -> list[str]:
        """All instructions since the picture that the change is measured from: of a session's turn several."""
        sample = self.samples[turn]
        return list(sample["about"].get("instructions") or [sample["instruction"]])

    def groups(self) -> list[str]:
        """In the order in which they first occur."""
        return list(dict.fromkeys(group for sample in self.samples.values() for group in sample["groups"]))

    def values(self, row: str, figure: str, turns: Sequence[str]) -> np.ndarray:
        """[turns, seeds] float64; NaN where the figure is not defined."""
        seeds = self.info["seeds"]
        known = self.rows.get(row, {})
        found = [[known.get(seed, {}).get(turn, {}).get(figure, np.nan) for seed in seeds] for turn in turns]
        return np.array(found, dtype=np.float64).reshape(len(turns), len(seeds))

    def turns(self, group: str) -> list[str]:
        return [turn for turn, sample in self.samples.items() if group in sample["groups"]]


def output_path(row_folder: Path, seed: int, key: str) -> Path:
    return row_folder / f"seed-{seed}" / f"{key}.png"


def row_folder(name: str) -> str:
    """A row's name as a folder that every file system takes."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "row"


def journals(folder: Path, name: str) -> list[Path]:
    """A row's journals of one kind, "edits" or "rows": one a shard."""
    return sorted(path for path in folder.glob(f"{name}*.jsonl") if re.fullmatch(rf"{name}(\.\d+-of-\d+)?", path.stem))


def read_journals(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Key → line, of all shards."""
    return {key: row for path in journals(folder, name) for key, row in read_rows(path).items()}


def measured(folder: Path, made: str, seeds: Sequence[int], turns: Container[str]) -> dict[int, Turns]:
    """Seed → turn → figures, of a row's lines that were made so; every seed is there, with what is known of it."""
    found: dict[int, Turns] = {seed: {} for seed in seeds}
    for line in read_journals(folder, "rows").values():
        if line["made"] == made and line["seed"] in found and line["turn"] in turns:
            found[line["seed"]][line["turn"]] = line["figures"]
    return found


def load_run(folder: str | Path) -> Run:
    """UserError: it is no run, of another format, or not finished."""
    folder = Path(folder)
    info = _read_json(folder / RUN)
    if info.get("format") != FORMAT:
        raise UserError(f"{folder / RUN}: format {info.get('format')!r} is not {FORMAT}, which this version reads.")
    samples = {sample["turn"]: sample for sample in _lines(folder / SAMPLES)}
    rows = {
        entry["name"]: measured(folder / entry["folder"], entry["made"], info["seeds"], samples)
        for entry in info["rows"]
    }
    if info.get("state") != "done":
        total = len(samples) * len(info["rows"]) * len(info["seeds"])
        missing = total - sum(len(turns) for seeds in rows.values() for turns in seeds.values())
        raise UserError(
            f"{folder}: this run is not finished: {missing} of {total} edits are still to be made and measured. "
            f"Go on with: {info.get('command') or 'the command that began it'}"
        )
    return Run(folder, info, samples, rows)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        written = "is no folder that `uip2p evaluate --out` wrote"
        raise UserError(f"{path.parent}: {written}: it has no {path.name}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: must hold an object.")
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    for line in text.splitlines():
        yield json.loads(line)
