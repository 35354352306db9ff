"""`uip2p data validate`: judge every row that training would read, and open its picture."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from uip2p.config import apply_overrides, from_dict
from uip2p.datasets import is_generated, open_records
from uip2p.datasets.folder import FolderSource
from uip2p.datasets.source import TEXTS, Source
from uip2p.errors import UserError
from uip2p.instructions.accept import DUPLICATE, Judge, Rules
from uip2p.instructions.wording import printable
from uip2p.instructions.words import words
from uip2p.instructions.writer import Edit
from uip2p.records import Caption, EditRecord

BATCH = 256
UNREADABLE, NO_PICTURE = "row_unreadable", "picture_unreadable"


@dataclass(frozen=True, slots=True)
class Fault:
    """row: from 0. name: what the source calls it. reasons: names of predicates, UNREADABLE or NO_PICTURE.
    detail: what a reader said, or the row's texts."""

    row: int
    name: str
    reasons: tuple[str, ...]
    detail: str


@dataclass(slots=True)
class Validation:
    """rows: all. at_fault: those with a reason or more. reasons, not_judged: name -> rows. faults: the first few."""

    rows: int = 0
    at_fault: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    not_judged: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def validate(path: str | Path, rules: Rules = Rules(), *, pictures: bool = True, shown: int = 20) -> Validation:  # noqa: B008
    """Judge all rows of a run's folder, or of any source of EditRecords, in their order.

    pictures: open each picture, and let a CLIP look at it where the rules name one. A row that cannot be read is at
    fault and stops nothing. UserError: there is no such source, or nothing of it can be read.
    """
    found = Validation()
    for fault, not_judged in _faults(_open(Path(path)), Judge(rules), pictures):
        found.rows += 1
        found.not_judged.update(not_judged)
        if fault.reasons:
            found.at_fault += 1
            found.reasons.update(fault.reasons)
            if len(found.faults) < shown:
                found.faults.append(fault)
    return found


def _open(path: Path) -> Source:
    folder = not is_generated(path) and (path.suffix == ".jsonl" or (path / "metadata.jsonl").is_file())
    return _Folder(path) if folder else open_records(path)


class _Folder(FolderSource):
    """Where FolderSource refuses the whole folder for a row at fault, here the row itself says what it is."""

    def _record(self, row: dict[str, Any], where: str) -> EditRecord:
        try:
            return super()._record(row, where)
        except UserError as error:
            return EditRecord(error, "", "", "", "")

    def name(self, row: int) -> str:
        image = self.records[row].image
        return f"row {row + 1}" if isinstance(image, UserError) else image.name

    def record(self, row: int) -> EditRecord:
        record = self.records[row]
        if isinstance(record.image, UserError):
            raise record.image
        return record


def _faults(source: Source, judge: Judge, pictures: bool) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    """Of every row its reasons, () if it is as it should be, and the names of the predicates that could not tell."""
    had: set[int] = set()  # (picture, instruction) of rows before
    opens = lru_cache(maxsize=1)(_opens)  # the edits of a picture follow each other
    rows = iter(range(len(source)))
    while batch := list(islice(rows, BATCH)):
        read = {row: _read(source, row, opens if pictures else None) for row in batch}
        whole = {row: record for row, record in read.items() if isinstance(record, EditRecord)}
        pairs = [_pair(record) for record in whole.values()]
        images = [record.image for record in whole.values()] if pictures else None
        verdicts = dict(zip(whole, judge(pairs, images), strict=True))
        for row, record in read.items():
            if isinstance(record, Fault):
                yield record, ()
                continue
            reasons = verdicts[row].reasons
            if DUPLICATE not in judge.rules.skip:
                said = _key(_image_id(record), *words(record.instruction))
                reasons += (DUPLICATE,) * (said in had)
                had.add(said)
            detail = " | ".join(getattr(record, text) for text in TEXTS)
            yield Fault(row, source.name(row), reasons, detail), verdicts[row].not_judged


def _read(source: Source, row: int, opens: Callable[[Any], str] | None) -> EditRecord | Fault:
    try:
        record = source.record(row)
    except UserError as error:
        return Fault(row, source.name(row), (UNREADABLE,), str(error))
    if opens is not None and (fault := opens(record.image)):
        return Fault(row, source.name(row), (NO_PICTURE,), fault)
    return record


def _opens(image: Any) -> str:
    """"", or why a picture does not open."""
    from uip2p.images import load_image  # torch takes seconds

    try:
        load_image(image)
    except UserError as error:
        return str(error)
    return ""


def _pair(record: EditRecord) -> tuple[Edit, Caption]:
    image_id = _image_id(record)
    edit = Edit("other", record.instruction, record.edited_caption, record.reverse_instruction)
    return edit, Caption(image_id, image_id, record.caption)


def _image_id(record: EditRecord) -> str:
    return f"{_key(record.image):x}" if isinstance(record.image, bytes) else str(record.image)


def _key(*parts: str | bytes) -> int:
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update((part if isinstance(part, bytes) else part.encode("utf-8", "replace")) + b"\0")
    return int.from_bytes(digest.digest(), "little")


def describe(found: Validation, path: str | Path) -> str:
    """What was found, for a person."""
    lines = [f"{path}: row {fault.row} ({fault.name}): {', '.join(fault.reasons)}\n  {_short(fault.detail)}"
             for fault in found.faults]  # fmt: skip
    if found.at_fault > len(found.faults):
        lines.append(f"… and {found.at_fault - len(found.faults)} more rows")
    lines += _table("rejected by", found.reasons, found.rows) + _table("not judged", found.not_judged, found.rows)
    share = f" ({found.at_fault / found.rows:.1%})" if found.rows else ""
    return "\n".join([*lines, f"{path}: {found.rows} rows, {found.at_fault} at fault{share}"])


def _table(title: str, counts: Counter[str], rows: int) -> list[str]:
    return [f"{title:<11} {name:<28}{count:>9}{count / rows:>8.1%}" for name, count in counts.most_common()]


def _short(text: str, most: int = 300) -> str:
    return printable(text if len(text) <= most else text[:most] + "…")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="PATH", type=Path, help="what uip2p data generate wrote, or other records: a folder, "
        "Parquet files, WebDataset shards")  # fmt: skip
    add("--no-pictures", action="store_true", help="do not open the pictures")
    add("--shown", type=int, default=20, metavar="N", help="print the first N rows at fault (default: 20)")
    add("--rule", action="append", default=[], metavar="NAME=VALUE", help="what is asked of a row, as for uip2p data "
        "generate; a run is asked what it was asked when it was written, if nothing else is said")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Exits with 1 if any row is at fault."""
    rules = rules_of(args.path, args.rule)
    found = validate(args.path, rules, pictures=not args.no_pictures, shown=args.shown)
    print(describe(found, args.path))
    if found.at_fault:
        raise SystemExit(1)


def rules_of(path: Path, overrides: Sequence[str] = ()) -> Rules:
    """A run's own rules, without its models, or the usual ones; then the overrides."""
    asked: Mapping[str, Any] = {}
    if is_generated(path):
        from uip2p.instructions.report.numbers import read_config

        asked = read_config(path)["rules"] | {"encoder": "", "clip": ""}
    return from_dict(Rules, apply_overrides(asked, overrides), "--rule")
