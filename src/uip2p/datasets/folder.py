"""A folder of pictures with metadata.jsonl, the imagefolder layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

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
        self.records = list(self._read())
        if not self.records:
            raise UserError(f"{self.metadata}: has no rows.")
        self.blocks = [1] * len(self.records)  # a file a picture: none is nearer to another

    def __len__(self) -> int:
        return len(self.records)

    def name(self, row: int) -> str:
        return self.records[row].image.name

    def record(self, row: int) -> EditRecord:
        return self.records[row]

    def _read(self) -> Iterator[EditRecord]:
        try:
            lines = self.metadata.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            raise UserError(
                f"{self.metadata}: there is no such file; each of its rows describes one picture."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.metadata}: cannot be read as UTF-8 text ({error}).") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self._parse(line, f"{self.metadata}, row {number}")

    def _parse(self, line: str, where: str) -> EditRecord:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: is not valid JSON ({error.msg}, column {error.colno}).") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: must be a JSON object with file_name, {', '.join(TEXTS)}.")
        record = to_record(row, None, where)
        name = row.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{where}: the field 'file_name' must be text that is not empty, got {name!r}.")
        image = self.metadata.parent / name
        if not image.is_file():
            raise UserError(f"{where}: file_name {name!r} is not a file in {self.metadata.parent}.")
        return EditRecord(image, *(getattr(record, text) for text in TEXTS))
