"""What every reader offers, and how a row becomes an EditRecord."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from uip2p.errors import UserError
from uip2p.records import Caption, EditRecord

TEXTS = ("caption", "instruction", "edited_caption", "reverse_instruction")


class Source(Protocol):
    """Rows 0 … len − 1, in blocks that are cheap to read one after the other: files, shards, row groups."""

    @property
    def blocks(self) -> Sequence[int]:
        """How many rows each block has."""

    def __len__(self) -> int: ...

    def name(self, row: int) -> str:
        """What the row is called, the same in every copy of the data: a file's name, a shard and a key."""

    def record(self, row: int) -> EditRecord:
        """The row, its image a path or the bytes of a picture. UserError names the file, the row and the field."""


class CaptionSource(Protocol):
    """Captions 0 … len − 1 of pictures: what edits are written for. The captions of one picture follow each other."""

    @property
    def blocks(self) -> Sequence[int]:
        """How many captions each block has that is cheap to read at once: shards, row groups, a picture where each is a
        file. The captions of one picture are never in two blocks."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """What is no row of the source though one might look for it: reason → how many."""

    def __len__(self) -> int: ...

    def caption(self, row: int) -> Caption:
        """The row's texts; its picture is not opened. UserError names the file, the row and the field."""

    def image_id(self, row: int) -> str:
        """Its caption's image_id, for which nothing is read."""

    def image(self, row: int) -> Any:
        """The picture that the caption is of: a path, or the bytes of a file. UserError names the file and the row."""


def short_names(files: Sequence[Path]) -> list[str]:
    """What files are called wherever their folder lies: their names, and folders where they lie in several."""
    root = os.path.commonpath([file.parent for file in files])
    return [file.relative_to(root).as_posix() for file in files]


def to_record(fields: Mapping[str, Any], image: Any, where: str) -> EditRecord:
    """A row's texts and its picture. UserError, beginning with `where`: a text is missing, empty or no text."""
    for name in TEXTS:
        if name not in fields or fields[name] is None:
            raise UserError(f"{where}: the field {name!r} is missing.")
        if not isinstance(fields[name], str) or not fields[name].strip():
            raise UserError(f"{where}: the field {name!r} must be text that is not empty, got {fields[name]!r}.")
    return EditRecord(image, *(fields[name].strip() for name in TEXTS))
