"""WebDataset shards: .tar files in which <key>.jpg (or .png, .webp) and <key>.json are one row."""

from __future__ import annotations

import json
import os
import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from uip2p.datasets.source import to_record
from uip2p.errors import UserError, first_line
from uip2p.records import EditRecord

PICTURES = ("jpg", "jpeg", "png", "webp")


class Member(NamedTuple):
    """Where a row lies in its shard: offsets and lengths in bytes."""

    key: str
    image: tuple[int, int]
    fields: tuple[int, int]


class TarSource:
    """A shard's table of contents is read once, when the source is opened; rows are then read where they lie.

    files: one or more uncompressed .tar files, in their order. UserError: no tar, or a row without picture or texts.
    """

    def __init__(self, files: Sequence[Path]):
        self.files = [Path(file) for file in files]
        self.members = [_contents(file) for file in self.files]
        self.blocks = [len(members) for members in self.members]
        self.ends = list(accumulate(self.blocks))
        self.handles: dict[int, int] = {}
        self.process = os.getpid()
        if not len(self):
            raise UserError(f"{self.files[0]}: has no rows: <key>.jpg beside <key>.json.")

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def name(self, row: int) -> str:
        shard, within = self._place(row)
        return f"{self.files[shard].name}:{self.members[shard][within].key}"

    def record(self, row: int) -> EditRecord:
        shard, within = self._place(row)
        member, where = self.members[shard][within], f"{self.files[shard]}, {self.name(row)}"
        try:
            fields = json.loads(self._read(shard, member.fields))
        except ValueError as error:
            raise UserError(f"{where}: {member.key}.json is not valid JSON ({first_line(error)}).") from None
        if not isinstance(fields, dict):
            raise UserError(f"{where}: {member.key}.json must hold a JSON object.")
        return to_record(fields, self._read(shard, member.image), where)

    def _place(self, row: int) -> tuple[int, int]:
        shard = bisect_right(self.ends, row)
        return shard, row - (self.ends[shard] - self.blocks[shard])

    def _read(self, shard: int, at: tuple[int, int]) -> bytes:
        if self.process != os.getpid():  # a worker's own handles: nobody moves another's position
            self.handles, self.process = {}, os.getpid()
        if shard not in self.handles:
            self.handles[shard] = os.open(self.files[shard], os.O_RDONLY)
        start, length = at
        data = os.pread(self.handles[shard], length, start)
        if len(data) != length:
            raise UserError(f"{self.files[shard]}: ends in the middle of a row. Copy it again.")
        return data


def _contents(file: Path) -> list[Member]:
    """The rows of a shard, in its order. UserError: it is no tar, or a row is not whole."""
    rows: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            for info in shard:
                name = info.name.removeprefix("./")
                key, _, kind = name.partition(".") if "/" not in name else _split(name)
                kind = kind.lower()
                if info.isfile() and (kind == "json" or kind in PICTURES):
                    part = "fields" if kind == "json" else "image"
                    rows.setdefault(key, {})[part] = (info.offset_data, info.size)
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{file}: cannot be read as an uncompressed .tar ({first_line(error)}).") from error
    for key, parts in rows.items():
        if len(parts) < 2:
            missing = "picture" if "fields" in parts else f"{key}.json"
            raise UserError(f"{file}, {key}: has no {missing}; a row is <key>.jpg beside <key>.json.")
    return [Member(key, parts["image"], parts["fields"]) for key, parts in rows.items()]


def _split(name: str) -> tuple[str, str, str]:
    folder, _, base = name.rpartition("/")
    key, dot, kind = base.partition(".")
    return f"{folder}/{key}", dot, kind
