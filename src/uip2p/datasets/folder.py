"""A folder of pictures with metadata.jsonl (captions also: metadata.csv), the imagefolder layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from uip2p.datasets.columns import captions_of, find_columns
from uip2p.datasets.pictures import Pictures
from uip2p.datasets.source import TEXTS, to_record
from uip2p.errors import UserError
from uip2p.records import EditRecord


class FolderSource:
    """Each row of metadata.jsonl is a JSON object with file_name, caption, instruction, edited_caption and
    reverse_instruction; other fields are ignored. All rows are read at once, the pictures when they are asked for.

    path: the folder, or its metadata.jsonl. UserError: the first row at fault.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        self.metadata = path if path.suffix == ".jsonl" else path / "metadata.jsonl"
        self.records = [self._record(row, where) for row, where in read_rows(self.metadata)]
        if not self.records:
            raise UserError(f"{self.metadata}: has no rows.")
        self.blocks = [1] * len(self.records)  # a file a picture: none is nearer to another

    def __len__(self) -> int:
        return len(self.records)

    def name(self, row: int) -> str:
        return self.records[row].image.name

    def record(self, row: int) -> EditRecord:
        return self.records[row]

    def _record(self, row: dict[str, Any], where: str) -> EditRecord:
        record = to_record(row, None, where)
        image = self.metadata.parent / _file_name(row, "file_name", where)
        if not image.is_file():
            raise UserError(f"{where}: file_name {row['file_name']!r} is not a file in {self.metadata.parent}.")
        return EditRecord(image, *(getattr(record, text) for text in TEXTS))


class FolderCaptions(Pictures):
    """Captions from metadata.jsonl or metadata.csv; a caption may be a text or, in JSON, a list of texts. Rows of the
    same picture are its captions, wherever they stand.

    path: the folder, or the file of metadata. UserError: it cannot be read, or a row names no picture.
    """

    def __init__(self, path: Path, asked: Mapping[str, str]):
        names = ("metadata.jsonl", "metadata.csv")
        self.metadata = path if path.is_file() else next(p for name in names if (p := path / name).is_file())
        seen = dict.fromkeys(name for row, _ in read_rows(self.metadata) for name in row)
        if not seen:
            raise UserError(f"{self.metadata}: has no rows.")
        self.columns = find_columns(dict.fromkeys(seen, "any"), asked, str(self.metadata))
        # Picture → its captions, each as (its row's place, its fields); what is in no column of ours is not kept.
        self.captions: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for row, where in read_rows(self.metadata):
            captions = self.captions.setdefault(_file_name(row, self.columns.image, where), [])
            kept = {name: row.get(name) for name in self.columns.texts}
            several = captions_of(kept[self.columns.caption])
            captions.extend((where, kept | {self.columns.caption: text}) for text in several)
        self.names = list(self.captions)
        super().__init__([1] * len(self.names), [len(found) for found in self.captions.values()], str(self.metadata))

    def name(self, picture: int) -> str:
        return self.names[picture]

    def where(self, picture: int, number: int) -> str:
        return self.captions[self.names[picture]][number][0]

    def fields(self, picture: int, number: int) -> dict[str, Any]:
        return self.captions[self.names[picture]][number][1]

    def picture(self, picture: int) -> Path:
        path = self.metadata.parent / self.names[picture]
        if not path.is_file():
            raise UserError(f"{self.where(picture, 0)}: {self.names[picture]!r} is no file in {path.parent}.")
        return path


def read_rows(metadata: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The rows of a .jsonl or .csv file, each with its place for the beginning of an error ("metadata.jsonl, row 3").
    UserError: no such file, no UTF-8, a row that is no JSON object or longer than the head of the table."""
    try:
        with open(metadata, encoding="utf-8-sig", newline="" if metadata.suffix == ".csv" else None) as file:
            yield from _csv_rows(file, metadata) if metadata.suffix == ".csv" else _json_rows(file, metadata)
    except FileNotFoundError:
        raise UserError(f"{metadata}: there is no such file; each of its rows describes one picture.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{metadata}: cannot be read as UTF-8 text ({error}).") from None


def _json_rows(file: Any, metadata: Path) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(file, start=1):  # not splitlines: U+2028 and others may stand inside a text
        if not line.strip():
            continue
        where = f"{metadata}, row {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: is not valid JSON ({error.msg}, column {error.colno}).") from None
        except RecursionError:
            raise UserError(f"{where}: is not valid JSON (it is nested too deep).") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: must be a JSON object with file_name, {', '.join(TEXTS)}.")
        yield row, where


def _csv_rows(file: Any, metadata: Path) -> Iterator[tuple[dict[str, Any], str]]:
    rows = csv.DictReader(file, strict=True)
    number = 0
    try:
        for number, row in enumerate(rows, start=1):
            where = f"{metadata}, row {number}"
            if None in row:
                raise UserError(f"{where}: has more fields than the first line has names. Is a comma not in quotes?")
            yield row, where
    except csv.Error as error:
        raise UserError(f"{metadata}, row {number + 1}: is not valid CSV ({error}).") from None


def _file_name(row: Mapping[str, Any], column: str, where: str) -> str:
    name = row.get(column)
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{where}: the field {column!r} must be text that is not empty, got {name!r}.")
    return name
