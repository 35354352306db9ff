"""WebDataset shards: .tar files in which <key>.jpg (or .png, .webp) and <key>.json (captions also: <key>.txt) are one
row. Nothing is ever extracted: members are read where they lie."""

from __future__ import annotations

import json
import os
import re
import tarfile
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from uip2p.datasets.columns import find_columns
from uip2p.datasets.pictures import Pictures
from uip2p.datasets.source import short_names, to_record
from uip2p.errors import UserError, first_line
from uip2p.records import EditRecord

PICTURES = ("jpg", "jpeg", "png", "webp")
OPEN = 64  # shards at once

HEADER = Struct("100s 24x 12s 12x 8s c 100x 6s 82x 155s 12x")  # name, size, checksum, kind, magic, folder
TIMES = re.compile(rb"(\d+ mtime=[\d.]+\n)*")

Place = tuple[int, int]
"""Offset and length in bytes."""


class Member(NamedTuple):
    """A row of a shard, and where its parts lie in it; None where it has no such part."""

    key: str
    image: Place | None
    fields: Place | None
    text: Place | None


class Shards:
    """Rows of uncompressed .tar files by number. Each one's table of contents is read once, when this is made.

    files: one or more, in their order. choose: which members are rows, and which is an error. UserError: no tar.
    """

    def __init__(self, files: Sequence[Path], choose: Callable[[Path, list[Member]], list[Member]]):
        self.files = [Path(file) for file in files]
        self.members = [choose(file, contents(file)) for file in self.files]
        self.blocks = [len(members) for members in self.members]
        self.ends = list(accumulate(self.blocks))
        self.handles: OrderedDict[int, int] = OrderedDict()
        self.process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:  # what goes to another process opens its own files
        return self.__dict__ | {"handles": OrderedDict()}

    def place(self, row: int) -> tuple[int, Member]:
        """(shard, what is in it)"""
        shard = bisect_right(self.ends, row)
        return shard, self.members[shard][row - (self.ends[shard] - self.blocks[shard])]

    def where(self, row: int) -> str:
        shard, member = self.place(row)
        return f"{self.files[shard]}, {self.files[shard].name}:{member.key}"

    def fields(self, row: int) -> dict[str, Any]:
        """Its <key>.json. UserError: it is no JSON object."""
        shard, member = self.place(row)
        assert member.fields is not None
        try:
            fields = json.loads(self.read(shard, member.fields))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.where(row)}: {member.key}.json is not valid JSON ({first_line(error)}).") from None
        if not isinstance(fields, dict):
            raise UserError(f"{self.where(row)}: {member.key}.json must hold a JSON object.")
        return fields

    def read(self, shard: int, at: Place) -> bytes:
        if self.process != os.getpid():  # a worker's own handles: nobody moves or closes another's
            self.handles, self.process = OrderedDict(), os.getpid()
        if shard not in self.handles:
            self.handles[shard] = os.open(self.files[shard], os.O_RDONLY)
            if len(self.handles) > OPEN:
                os.close(self.handles.popitem(last=False)[1])
        self.handles.move_to_end(shard)
        start, length = at
        data = os.pread(self.handles[shard], length, start)
        if len(data) != length:
            raise UserError(f"{self.files[shard]}: ends in the middle of a row. Copy it again.")
        return data


class TarSource:
    """files: one or more, in their order. UserError: no tar, or a row without picture or texts."""

    def __init__(self, files: Sequence[Path]):
        self.shards = Shards(files, _whole_rows)
        self.blocks = self.shards.blocks
        if not len(self):
            raise UserError(f"{self.shards.files[0]}: has no rows: <key>.jpg beside <key>.json.")

    def __len__(self) -> int:
        return self.shards.ends[-1]

    def name(self, row: int) -> str:
        shard, member = self.shards.place(row)
        return f"{self.shards.files[shard].name}:{member.key}"

    def record(self, row: int) -> EditRecord:
        shard, member = self.shards.place(row)
        fields, where = self.shards.fields(row), self.shards.where(row)
        assert member.image is not None
        return to_record(fields, self.shards.read(shard, member.image), where)


class TarCaptions(Pictures):
    """Shards as img2dataset writes them for CC3M and CC12M: the caption is <key>.txt, or a field of <key>.json.

    asked: field → name in the JSON. What else the first row's JSON has by a usual name (an instruction) is read too.
    A row without a picture, as a failed download leaves it, is counted in `skipped`.
    """

    def __init__(self, files: Sequence[Path], asked: Mapping[str, str], names: Sequence[str] | None = None):
        without: list[int] = []

        def with_picture(file: Path, members: list[Member]) -> list[Member]:
            rows = [member for member in members if member.image]
            without.append(len(members) - len(rows))
            return rows

        self.shards = Shards(files, with_picture)
        self.names = names or short_names(self.shards.files)
        super().__init__(self.shards.blocks, None, f"{self.shards.files[0]}: <key>.jpg beside <key>.txt or <key>.json")
        if sum(without):
            self.skipped["row without a picture"] = sum(without)
        member = self.shards.place(0)[1]
        there = dict.fromkeys(self.shards.fields(0) if member.fields else (), "any")
        title = f"{self.shards.files[0]}, {member.key}.json"
        beside = member.text and "caption" not in asked
        there, asked = (there | {"txt": "text"}, {"caption": "txt", **asked}) if beside else (there, asked)
        self.columns = find_columns(there, asked, title, ("caption",))

    def name(self, picture: int) -> str:
        shard, member = self.shards.place(picture)
        return f"{self.names[shard]}:{member.key}"

    def where(self, picture: int, number: int) -> str:
        return self.shards.where(picture)

    def fields(self, picture: int, number: int) -> Mapping[str, Any]:
        shard, member = self.shards.place(picture)
        fields: dict[str, Any] = {}
        if member.fields and self.columns.texts != ["txt"]:
            fields = self.shards.fields(picture)
        if member.text and self.columns.caption == "txt":
            try:
                fields["txt"] = self.shards.read(shard, member.text).decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise UserError(f"{self.where(picture, 0)}: {member.key}.txt is not UTF-8 text ({error}).") from None
        return fields

    def picture(self, picture: int) -> bytes:
        shard, member = self.shards.place(picture)
        assert member.image is not None
        return self.shards.read(shard, member.image)


def contents(file: Path) -> list[Member]:
    """What a shard has of each key, in its order. UserError: it is no tar or cut short, or a member's name leads out of
    the archive, as only an archive that means harm has."""
    rows: dict[str, dict[str, Place]] = {}
    parts = dict.fromkeys(PICTURES, "image") | {"json": "fields", "txt": "text"}
    try:
        for called, place in list_plainly(file) or list_fully(file):
            name = called.removeprefix("./")
            if name.startswith("/") or ".." in name.split("/"):
                raise UserError(f"{file}: has a member {called!r}, which leads out of it: refused.")
            folder, slash, base = name.rpartition("/")
            key, _, kind = base.partition(".")
            if place and (part := parts.get(kind.lower())):
                rows.setdefault(folder + slash + key, {})[part] = place
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{file}: cannot be read as an uncompressed .tar ({first_line(error)}).") from error
    return [Member(key, found.get("image"), found.get("fields"), found.get("text")) for key, found in rows.items()]


def list_fully(file: Path) -> list[tuple[str, Place | None]]:
    """The name of each member of a .tar, and where it lies if it is a file. tarfile.TarError: it is none, or cut."""
    with tarfile.open(file, "r:") as shard:
        return [(info.name, (info.offset_data, info.size) if info.isreg() else None) for info in shard]


def list_plainly(file: Path) -> list[tuple[str, Place | None]] | None:
    """The same, several times as fast, for archives without any of tar's extensions but fractions of a second, as
    webdataset writes them. None: there is something else in it, or something is wrong."""
    members: list[tuple[str, Place | None]] = []
    with open(file, "rb") as shard:
        handle, end, at = shard.fileno(), os.fstat(shard.fileno()).st_size, 0
        while (header := os.pread(handle, 512, at)) and header[0]:
            name, size, checksum, kind, magic, prefix = HEADER.unpack(header) if len(header) == 512 else 6 * (b"",)
            try:
                length, data = int(size.rstrip(b"\0 "), 8), at + 512
                right = int(checksum.rstrip(b"\0 "), 8) == sum(header) - sum(checksum) + 8 * ord(" ")
                called = b"/".join(part.partition(b"\0")[0] for part in (prefix, name) if part[0]).decode()
            except ValueError:
                return None
            at = data + (length + 511) // 512 * 512
            if not right or length < 0 or at > end or magic != b"ustar\0":
                return None
            if kind == b"0":
                members.append((called, (data, length)))
            elif kind == b"5":
                members.append((called.rstrip("/"), None))
            elif kind != b"x" or not TIMES.fullmatch(os.pread(handle, length, data)):
                return None
    return members


def _whole_rows(file: Path, members: list[Member]) -> list[Member]:
    """The members that are rows of edits. UserError: one is not whole."""
    rows = [member for member in members if member.image or member.fields]
    for member in rows:
        if not (member.image and member.fields):
            missing = "picture" if member.fields else f"{member.key}.json"
            raise UserError(f"{file}, {member.key}: has no {missing}; a row is <key>.jpg beside <key>.json.")
    return rows
