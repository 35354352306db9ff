"""A run's folder: whose it is, what was asked of it, what was measured in it.

out/config.json      the whole config, compared when the run is resumed
out/metrics.jsonl    a row every log_every steps, every validation and every skipped step
out/quarantine.jsonl rows of your own whose picture could not be read: row, reason; once for each process
out/checkpoints/     see checkpoint.py
out/best/            the averaged weights with the lowest validation loss so far
out/samples/         sample grids, named by the number of images seen
out/snapshots/       models of the averaged weights on the way, named likewise
out/model/           the finished model; finished.json says which step it is
"""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from uip2p.errors import UserError
from uip2p.learning import checkpoint
from uip2p.learning.train_config import TrainConfig

try:
    import fcntl
except ImportError:  # not on Windows, where nothing stops two runs in one folder
    fcntl = None  # type: ignore[assignment]


FOLDERS = ("checkpoints", "best", "samples", "snapshots")


@contextmanager
def locked(
    out: Path, folders: Iterable[str] | None = FOLDERS, doing: str = "training", name: str = "lock"
) -> Iterator[None]:
    """One run at a time in a folder; what a killed one left unfinished in it and in its `folders` is cleared (None: not
    even there, where others are at work). The lock is the process's own: it goes when the process goes, however."""
    with checkpoint.writing(out):
        out.mkdir(parents=True, exist_ok=True)
        file = open(out / name, "a")  # noqa: SIM115 (held for the whole run)
    try:
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"{out}: another run is {doing} in this folder. Wait for it, or choose another."
                ) from None
        for folder in () if folders is None else (out, *(out / each for each in folders)):
            checkpoint.remove_leftovers(folder)
        yield
    finally:
        file.close()


def is_locked(out: Path) -> bool:
    """Whether another process trains in this folder now."""
    if fcntl is None or not (out / "lock").exists():
        return False
    with open(out / "lock", "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


DEFAULTS = {f"train.{setting.name}": setting.default for setting in fields(TrainConfig)}


def check_config(path: Path, config: Mapping[str, Any], free: set[str], what: str = "training") -> None:
    """Compare with the config of the run that is in this folder, then write it down. UserError: see compare_config."""
    compare_config(path, config, free, what)
    checkpoint.replace_text(path, json.dumps(config, indent=1))


def compare_config(path: Path, config: Mapping[str, Any], free: set[str], what: str = "training") -> None:
    """Raises UserError that names the first setting that differs from the run in this folder, where there is one, and
    would change what is learned (or what else the run makes: `what`)."""
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{path}: cannot be read; put it back, or use another folder.") from None
    old, new = flat(before), flat(config)
    for name in sorted(old.keys() | new.keys()):
        # A setting that came after this run: it was trained with what is the default now.
        newer = name not in old and not name.startswith("recipe.") and new[name] == DEFAULTS.get(name, new[name])
        if old.get(name) != new.get(name) and name not in free and not newer:
            was, now = (f"is {side[name]!r}" if name in side else "is not set" for side in (old, new))
            raise UserError(
                f"{path}: {name} {was} in this run, and {now} in what you ask for. That would be another "
                f"{what}: put it back to resume, or use another folder."
            )


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables → one, with names like "train.steps"."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


class Journal:
    """metrics.jsonl: one JSON object a line. Opened at a step, it forgets the rows of later steps."""

    def __init__(self, path: Path, step: int):
        self.path = path
        rows = [row for row in self.read(path) if row["step"] <= step]
        checkpoint.replace_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """The rows of a metrics.jsonl; a last line that a killed process left unfinished is not one."""
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def write(self, row: Mapping[str, Any]) -> None:
        with checkpoint.writing(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(row)) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Means:
    """Means of named numbers since the last row. They are in the checkpoint, so a resumed run writes the same rows."""

    def __init__(self, sums: Mapping[str, float] | None = None, count: int = 0):
        self.sums, self.count = dict(sums or {}), count

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def progress_bar(name: str, done: int, total: int, shown: bool) -> tqdm:
    """Images a second and the time left; seldom where nobody watches."""
    seldom = 0.5 if sys.stderr.isatty() else 30
    style = {"unit": "img", "unit_scale": True, "dynamic_ncols": True, "mininterval": seldom}
    return tqdm(desc=name, initial=done, total=total, disable=not shown, **style)


class Stop:
    """Within `with Stop() as stop`, SIGINT or SIGTERM only sets `stop.asked`: the step in hand is finished and saved. A
    second SIGINT interrupts at once, unless it follows on the heels of the first: a terminal sends Ctrl-C to launcher
    and process, and the launcher hands it on. SIGTERM never does: schedulers repeat it, and kill by themselves."""

    ECHO = 3.0  # seconds

    def __init__(self) -> None:
        self.asked = False
        self.since = 0.0

    def __enter__(self) -> Stop:
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: Any) -> None:
        if self.asked and number == signal.SIGINT and time.monotonic() - self.since > self.ECHO:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self.since = True, time.monotonic()

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
