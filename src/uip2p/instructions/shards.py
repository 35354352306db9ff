"""The files of a run's folder, one set a shard: its journal while it is done, its Parquet when it is finished.

    OUT/journal/00000.jsonl      one line a caption that is done, appended; gone when the shard is finished
    OUT/edits/00000.parquet      accepted edits, in the source's order
    OUT/rejected/00000.parquet   the others, each with its reasons; captions without an edit, with their error
    OUT/shards/00000.json        counts, written last: a shard that has them is finished

The Parquet files are a pure function of the journal and the source: whatever kills a run, and however often, it ends
with the same bytes.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from uip2p.errors import UserError, first_line
from uip2p.instructions.writer import Edit
from uip2p.learning import checkpoint
from uip2p.learning.journal import fcntl

SUFFIXES = {"journal": "jsonl", "edits": "parquet", "rejected": "parquet", "shards": "json"}  # of the folders' files
TEXTS = (
    "id", "image_id", "kind", "caption", "instruction", "edited_caption", "reverse_instruction", "writer", "model",
    "prompt",
)  # fmt: skip
GROUP, GROUP_WITH_PICTURES = 1024, 64  # rows that are read at once: a picture is kept once a group
FLUSH_EVERY = 1.0  # seconds of work that a power cut may cost; a killed process loses no line
FULL = "What was done is kept: free some space and run the same command again."


@dataclass(frozen=True, slots=True)
class Judged:
    """An edit, the names of the predicates that reject it, and of those that could not tell."""

    edit: Edit
    reasons: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """One caption that is done: a line of a journal. row: in the source. error: why there is no edit. seconds: since
    the same worker was done with the one before it."""

    row: int
    id: str = ""
    image_id: str = ""
    caption: str = ""
    edits: tuple[Judged, ...] = ()
    error: str = ""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        edits = [{**asdict(each.edit), "reasons": each.reasons, "not_judged": each.not_judged} for each in self.edits]
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"edits": edits}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Done:
        edits = [
            Judged(Edit(**edit), tuple(reasons), tuple(unsure))
            for edit in fields["edits"]
            for reasons, unsure in [(edit.pop("reasons"), edit.pop("not_judged"))]
        ]
        return cls(**{**fields, "edits": tuple(edits)})


@dataclass
class Counts:
    """Of a shard or of many. captions: that are done; proposed = accepted + those rejected, each for one reason or
    more; errors: captions without any edit."""

    captions: int = 0
    proposed: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    not_judged: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @classmethod
    def of(cls, lines: Iterable[Done]) -> Counts:
        total = cls()
        for line in lines:
            total.captions += 1
            total.proposed += len(line.edits)
            total.accepted += sum(not each.reasons for each in line.edits)
            total.errors += bool(line.error)
            for each in line.edits:
                total.rejected.update(each.reasons)
                total.not_judged.update(each.not_judged)
            for name in ("calls", "tokens_in", "tokens_out", "seconds"):
                setattr(total, name, getattr(total, name) + getattr(line, name))
        total.seconds = round(total.seconds, 3)
        return total

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Counts:
        counters = {name: Counter(fields[name]) for name in ("rejected", "not_judged")}
        return cls(**{**fields, **counters})


def place(out: Path, folder: str, number: int) -> Path:
    """Where a shard's file of one of these folders is."""
    return out / folder / f"{number:05d}.{SUFFIXES[folder]}"


# ---- a shard in progress -----------------------------------------------------------------------------


class Journal:
    """A shard's lines, by row. Whoever opens it holds it: a second process waits until the first has closed it or died.

    A line is with the system when `add` returns, so a killed process loses none; a power cut costs a second. A last
    line that was torn is cut off, and one that is damaged counts as not written.
    """

    def __init__(self, path: Path):
        self.path, self.lines = path, dict[int, Done]()
        self.adding = threading.Lock()
        with checkpoint.writing(path, hint=FULL):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            if fcntl is not None:
                fcntl.lockf(self.file, fcntl.LOCK_EX)
            os.ftruncate(self.file, self._read())
        self.flushed = time.monotonic()

    def _read(self) -> int:
        """The bytes of all whole lines. (It reads where it writes: closing another handle would let go of the lock.)"""
        blocks = []
        while block := os.read(self.file, 1 << 20):
            blocks.append(block)
        data = b"".join(blocks)
        whole = data[: data.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                done = Done.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            self.lines[done.row] = done
        return len(whole)

    def add(self, **fields: Any) -> Done:
        """Append a line with these fields of Done. UserError: the disk is full or gone; the lines before are kept."""
        with self.adding:
            now, done = time.monotonic(), Done(**fields)
            data = (json.dumps(done.to_json()) + "\n").encode()
            with checkpoint.writing(self.path, hint=FULL):
                while data:
                    data = data[os.write(self.file, data) :]
                if now - self.flushed > FLUSH_EVERY:
                    os.fsync(self.file)
                    self.flushed = now
            self.lines[done.row] = done
        return done

    def close(self) -> None:
        if self.file >= 0:
            with checkpoint.writing(self.path, hint=FULL):
                os.fsync(self.file)
            os.close(self.file)
            self.file = -1

    def remove(self) -> None:
        """Close it for good: its shard is finished."""
        self.path.unlink(missing_ok=True)
        os.close(self.file)
        self.file = -1


def read_journal(path: Path) -> Iterator[Done]:
    """The whole lines of a journal that may be written to meanwhile. (Not in the process that writes it.)"""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            try:
                yield Done.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue


# ---- a finished shard --------------------------------------------------------------------------------


def write_rows(
    path: Path, rows: Iterable[Mapping[str, Any]], *, pictures: bool = False, rejected: bool = False
) -> None:  # fmt: skip
    """Rows into a Parquet file, whole or not at all, a row group after the other. UserError: the disk is full."""
    import pyarrow
    from pyarrow import parquet

    schema, group = _schema(pictures, rejected), GROUP_WITH_PICTURES if pictures else GROUP

    def write(new: Path) -> None:
        # One dictionary a group, however long, holds a picture once for all its edits.
        options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30}
        with parquet.ParquetWriter(new, schema, **options) as file:
            rest = iter(rows)
            while some := list(islice(rest, group)):
                file.write_table(pyarrow.Table.from_pylist([_encodable(row) for row in some], schema), group)

    checkpoint.replace_file(path, write, FULL)


def _schema(pictures: bool, rejected: bool) -> Any:
    import pyarrow as pa

    columns = [("row", pa.int64()), *((name, pa.string()) for name in TEXTS), ("seed", pa.int64())]
    if pictures:
        columns.append(("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
    if rejected:
        columns += [("reasons", pa.list_(pa.string())), ("error", pa.string())]
    return pa.schema(columns)


def _encodable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Half a surrogate pair, which JSON can hold and UTF-8 cannot, becomes a question mark."""
    return {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in row.items()}


def write_counts(out: Path, number: int, counts: Counts) -> None:
    checkpoint.replace_text(place(out, "shards", number), json.dumps(counts.to_json(), indent=1) + "\n")


# ---- reading a run's folder --------------------------------------------------------------------------


def finished(out: Path) -> list[int]:
    """The numbers of the finished shards, in their order."""
    return sorted(int(path.stem) for path in (out / "shards").glob("*.json") if path.stem.isdigit())


def read_counts(out: Path, number: int) -> Counts:
    path = place(out, "shards", number)
    try:
        return Counts.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read ({first_line(error)}). Remove it: the same command does this shard again."
        ) from None


def total_counts(out: Path) -> Counts:
    return sum((read_counts(out, number) for number in finished(out)), Counts())


def read_rows(out: Path, folder: str = "edits", columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of all finished shards, in the source's order. folder: "edits" or "rejected". columns: only these (all
    but the pictures when not given)."""
    from pyarrow import parquet

    for number in finished(out):
        path = place(out, folder, number)
        try:
            with parquet.ParquetFile(path) as file:
                wanted = columns or [name for name in file.schema_arrow.names if name != "image"]
                for batch in file.iter_batches(columns=wanted):
                    yield from batch.to_pylist()
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: is missing or damaged ({first_line(error)}). Remove {place(out, 'shards', number)}: the same "
                "command does this shard again."
            ) from None
