"""Pictures that cannot be decoded: written down, passed over, and too many of them an error."""

from __future__ import annotations

import json
import os
from pathlib import Path

from uip2p.errors import UserError
from uip2p.learning import checkpoint

FEW = 5  # rows that are forgiven beyond the share, or a tenth of the rows where that is less


class Quarantine:
    """One process's own account. path: quarantine.jsonl, to which every process appends (None: nothing is written).

    share: of `rows` rows, those that may be bad; 0 forgives none. Of the different rows seen so far, at most `share` +
    FEW may be. So one bad picture among the first ten does not stop a run, while a folder of nothing but bad ones
    stops it at the sixth, and one with twice the share after some hundreds; of 20 rows, two are forgiven.
    """

    def __init__(self, path: Path | None, share: float, rows: int):
        self.path, self.share, self.rows = path, share, rows
        self.seen = 0
        self.bad: set[str] = set()

    def add(self, name: str, reason: str) -> None:
        """The row called `name`, which is among the `seen`, cannot be used. UserError: that is one too many, or it
        cannot be written down."""
        if name in self.bad:
            return
        self.bad.add(name)
        if self.path is not None:
            line = json.dumps({"row": name, "reason": reason}, ensure_ascii=False) + "\n"
            with checkpoint.writing(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                try:
                    os.write(file, line.encode("utf-8", "replace"))  # one write: lines of several processes do not mix
                finally:
                    os.close(file)
        seen = min(self.seen, self.rows)
        if len(self.bad) > (self.share * seen + min(FEW, self.rows / 10) if self.share else 0):
            listed = f"; {self.path} names them" if self.path else ""
            raise UserError(
                f"{len(self.bad)} of {seen} pictures cannot be read, more than data.corrupt = {self.share:g} allows"
                f"{listed}. The last one, {name}: {reason} Mend or remove them, or raise data.corrupt."
            )
