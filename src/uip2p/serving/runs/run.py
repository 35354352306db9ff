"""One run as a person asks about it: how far it is, whether it goes well, how to go on. Files in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from uip2p.learning.checkpoint import list_steps
from uip2p.learning.journal import is_locked
from uip2p.serving.runs.finding import CONFIG, is_inside
from uip2p.serving.runs.log import Log

MOST_BYTES = 1 << 20  # of a config, and of what is read of a quarantine: a real one has some kilobytes

State = Literal["training", "finished", "stopped"]
Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """step of steps updates; images of total. rate: images a second, left: seconds, None where nobody trains now.
    best: images seen at the lowest validation loss. resumes: the step of the newest checkpoint, None without one.
    exported: the step whose weights are in the finished model."""

    state: State
    step: int
    steps: int | None
    images: int
    total: int | None
    rate: float | None
    left: float | None
    seconds: float
    best: int | None
    resumes: int | None
    exported: int | None


@dataclass(frozen=True, slots=True)
class Copying:
    """What a cycle run logs about edits that do nothing, of its last row. rate: share of edits that CLIP takes for
    their input (cosine over 0.98). direction: how far the edits move as their words do, a cosine in [-1, 1]. change:
    mean absolute change of a pixel, as a share of its range. held_out: the rate on validation pictures, or None.
    alarmed: the last row raised the alarm. sentence: what the alarm said, "" where it never did. since, until: images
    seen at the first and the last row with an alarm."""

    images: int
    rate: float
    direction: float
    change: float
    held_out: float | None
    alarmed: bool
    sentence: str
    since: int | None
    until: int | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Pictures of one's own that were passed over. rows: (row, reason) of the first few; count: of different rows,
    `more` where only the beginning of a long list was read."""

    count: int
    more: bool
    rows: tuple[tuple[str, str], ...]


def read_config(folder: Path, root: Path) -> tuple[Config, str]:
    """config.json and "", or {} and a sentence that says what is wrong with it."""
    path = folder / CONFIG
    if not is_inside(path, root):
        return {}, f"{CONFIG} is gone. Was the folder removed?"
    try:
        with open(path, "rb") as file:
            config = json.loads(file.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}, f"{CONFIG} cannot be read, so it is not known how long this run is. Put it back to resume the run."
    if not isinstance(config, dict):
        return {}, f"{CONFIG} is not the config of a training run. Put it back to resume the run."
    return config, ""


def read_progress(folder: Path, root: Path, config: Config, log: Log) -> Progress:
    train = table(config, "train")
    steps, batch = _count(train.get("steps")), _count(train.get("batch_size"))
    finished = _finished(folder, root)
    over = finished is not None and finished.get("step") == steps
    state: State = "training" if trains_now(folder) else "finished" if over else "stopped"
    images = int(log.last.get("images", 0))
    step = log.step
    if over and steps:  # an interrupted last interval may have left no row
        step, images = steps, steps * batch if batch else images
    total = steps * batch if steps and batch else None
    rate = _number(log.last.get("images_per_second")) if state == "training" else None
    left = max(0, total - images) / rate if total is not None and rate else None
    return Progress(
        state, step, steps, images, total, rate, left, _number(log.last.get("seconds")) or 0.0, log.best,
        _newest_checkpoint(folder), _count((finished or {}).get("exported")) if over else None,
    )  # fmt: skip


def read_copying(log: Log) -> Copying | None:
    """None for a run that logs nothing of the kind, and before its first row."""
    last, alarms = log.last, log.alarms
    found = [_number(last.get(name)) for name in ("copy_rate", "clip_direction", "edit_magnitude")]
    rate, direction, magnitude = found
    if rate is None or direction is None or magnitude is None:
        return None
    since, until = (alarms[0][0], alarms[-1][0]) if alarms else (None, None)
    return Copying(
        int(last["images"]), rate, direction, magnitude / 2, _number(log.last_validation.get("copy_rate")),
        bool(last.get("alarm")), alarms[-1][1] if alarms else "", since, until,
    )  # fmt: skip


def read_unreadable(folder: Path, root: Path, shown: int = 5) -> Unreadable | None:
    """What quarantine.jsonl names; None where there is none. Every process wrote its own: a row counts once."""
    path = folder / "quarantine.jsonl"
    if not is_inside(path, root):
        return None
    rows: dict[str, str] = {}
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES)
            more = bool(file.read(1))
    except OSError:
        return None
    for line in content.rpartition(b"\n")[0].splitlines():
        try:
            row = json.loads(line)
            rows.setdefault(str(row["row"]), str(row["reason"]))
        except (ValueError, TypeError, KeyError):
            continue
    return Unreadable(len(rows), more, tuple(rows.items())[:shown]) if rows else None


def trains_now(folder: Path) -> bool:
    """Whether a process trains in the folder. One that may not be looked into counts as at rest."""
    try:
        return is_locked(folder)
    except OSError:
        return False


def table(config: Config, name: str) -> Config:
    """A table of a config that anyone may have written: {} where it is none."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _finished(folder: Path, root: Path) -> Config | None:
    path = folder / "finished.json"
    if not is_inside(path, root) or not (folder / "model").is_dir():
        return None
    try:
        found = json.loads(path.read_bytes()[:MOST_BYTES])
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _newest_checkpoint(folder: Path) -> int | None:
    try:
        steps = list_steps(folder / "checkpoints")
    except OSError:
        return None
    return int(steps[-1].name[5:]) if steps else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None
