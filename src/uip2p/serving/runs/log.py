"""metrics.jsonl as columns of numbers, read on from where the last look ended: a run may still be writing it.

The trainer's rows are of three kinds (see `learning.trainer`): the means of some steps, a validation, a skipped step.
"""

from __future__ import annotations

import os
import threading
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import orjson

# Of a row of training, what is not a curve.
NOT_CURVES = {"step", "images", "skipped", "seconds", "alarm"}
MOST_CURVES = 100  # no objective has so many: a file that has is damaged
BLOCK = 1 << 24  # bytes read at once
TAIL = 64  # bytes before the place where reading stopped, by which one knows the file again

Row = dict[str, Any]


class Columns:
    """Curves over images seen, which grow together. A value that is missing or not finite is NaN."""

    def __init__(self) -> None:
        self.images = array("d")
        self.curves: dict[str, array] = {}

    def add(self, rows: list[tuple[int, Row]]) -> None:
        """Rows of (images, named values). By columns, as 100,000 rows of fifteen values come at once."""
        curves = self.curves
        for names in dict.fromkeys(tuple(values) for _, values in rows):  # few: rows of a kind have the same names
            for name in names:
                if name not in curves and name not in NOT_CURVES and len(curves) < MOST_CURVES:
                    curves[name] = array("d", [np.nan]) * len(self.images)
        self.images.extend(images for images, _ in rows)
        for name, column in curves.items():
            found = [values.get(name) for _, values in rows]
            column.extend(value if type(value) is float or type(value) is int else np.nan for value in found)

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(images, values) where there are values, float64 [n] each; both empty for a name that is not there."""
        if name not in self.curves:
            return np.empty(0), np.empty(0)
        images, values = np.array(self.images), np.array(self.curves[name])
        known = np.isfinite(values)
        return images[known], values[known]


class Log:
    """The metrics of one run. `read` brings it up to date, and is safe to call from several threads.

    last: the newest row of training, {} before the first. alarms: (images, sentence) of the rows with an alarm. best:
    images seen at the lowest validation loss. skipped: how many steps were skipped, of which skips are the last rows.
    damaged: lines that are no row of a run. version: another number whenever something was read.
    """

    def __init__(self, path: Path):
        self.path, self.version, self.lock = path, 0, threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self.offset, self.inode, self.tail = 0, 0, b""
        self.training, self.validation = Columns(), Columns()
        self.last: Row = {}
        self.last_validation: Row = {}
        self.alarms: list[tuple[int, str]] = []
        self.best: int | None = None
        self.skips: list[Row] = []
        self.skipped = self.damaged = self.step = 0

    def read(self) -> Log:
        """Read what was written since. A last line without its end is left for the next time; a file that is another
        one now, as where a run was resumed from an older step, is read anew; one that is gone leaves nothing."""
        with self.lock:
            try:
                with open(self.path, "rb") as file:
                    if not self._goes_on(file):
                        self._clear()
                        self.version += 1
                    self.inode = os.fstat(file.fileno()).st_ino
                    file.seek(self.offset)
                    rest = b""
                    while block := file.read(BLOCK):
                        whole, end, rest = (rest + block).rpartition(b"\n")
                        self._take(whole + end)
            except OSError:
                if self.offset:
                    self._clear()
                    self.version += 1
        return self

    def _goes_on(self, file: Any) -> bool:
        """Whether it is the file that was read before, with at most more at its end."""
        state = os.fstat(file.fileno())
        if self.offset and (state.st_ino != self.inode or state.st_size < self.offset):
            return False
        file.seek(self.offset - len(self.tail))
        return file.read(len(self.tail)) == self.tail

    def _take(self, lines: bytes) -> None:
        if not lines:
            return
        training: list[tuple[int, Row]] = []
        validation: list[tuple[int, Row]] = []
        for line in lines.splitlines():
            try:
                row = orjson.loads(line)
                self.step = max(self.step, int(row["step"]))
                if row.get("nonfinite"):
                    self._skipped(row)
                elif "validation" in row:
                    validation.append(self._validated(row))
                else:
                    training.append(self._trained(row))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                self.damaged += 1
        self.training.add(training)
        self.validation.add(validation)
        self.offset += len(lines)
        self.tail = (self.tail + lines[-TAIL:])[-TAIL:]
        self.version += 1

    def _skipped(self, row: Row) -> None:
        self.skipped = int(row["skipped"])
        self.skips = [*self.skips[-4:], {"step": int(row["step"]), "samples": list(row["samples"])}]

    def _validated(self, row: Row) -> tuple[int, Row]:
        images, values = int(row["images"]), dict(row["validation"])
        self.last_validation = values | {"images": images}
        self.best = images if row.get("best") else self.best
        return images, values

    def _trained(self, row: Row) -> tuple[int, Row]:
        images = int(row["images"])
        self.last, self.skipped = row, int(row.get("skipped", self.skipped))
        if row.get("alarm"):
            self.alarms.append((images, str(row["alarm"])))
        return images, row

    def names(self) -> list[str]:
        """Every curve that has a number, in the order of the rows."""
        return [name for name in self.training.curves if len(self.training.curve(name)[1])]
