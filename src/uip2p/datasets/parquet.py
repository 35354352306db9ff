"""Parquet, as Hugging Face's datasets write it: an image column of {"bytes", "path"} (or of plain bytes), and texts."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from uip2p.datasets.source import TEXTS, short_names, to_record
from uip2p.errors import UserError, first_line
from uip2p.records import EditRecord

KEPT = 8  # row groups in memory: as many as an order mixes
OPEN = 64  # files at once


class RowGroups:
    """The rows of Parquet files by number. Row groups are read whole, in the columns asked for, and the last few kept,
    so that rows near each other cost one reading; few files are open at once.

    files: one or more, in their order. columns: the name of each and its Arrow type, alike in all files.
    UserError: no Parquet, no rows, or a file without a column that the first one has.
    """

    def __init__(self, files: Sequence[Path]):
        self.files = [Path(file) for file in files]
        self.opened: OrderedDict[int, Any] = OrderedDict()
        self.kept: OrderedDict[tuple, Any] = OrderedDict()
        self.groups: list[tuple[int, int]] = []  # (file, row group)
        self.blocks: list[int] = []
        for number in range(len(self.files)):
            metadata = self._file(number).metadata
            for group in range(metadata.num_row_groups):
                self.groups.append((number, group))
                self.blocks.append(metadata.row_group(group).num_rows)
        self.ends = list(accumulate(self.blocks))
        self.columns: dict[str, Any] = dict(zip(self._schema(0).names, self._schema(0).types, strict=True))
        if not len(self):
            raise UserError(f"{self.files[0]}: has no rows.")

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getstate__(self) -> dict[str, Any]:  # what goes to another process opens its own files
        return self.__dict__ | {"opened": OrderedDict(), "kept": OrderedDict()}

    def check(self, columns: Sequence[str]) -> None:
        """UserError: a file does not have these columns, or has them in another type than the first one."""
        for number, file in enumerate(self.files):
            schema = self._schema(number)
            for column in columns:
                if column not in schema.names:
                    raise UserError(f"{file}: has no column {column!r}; there are {', '.join(schema.names)}.")
                if schema.field(column).type != self.columns[column]:
                    kinds = f"{schema.field(column).type}, in {self.files[0].name} {self.columns[column]}"
                    raise UserError(f"{file}: the column {column!r} holds {kinds}. Give files of one kind.")

    def place(self, row: int) -> tuple[int, int]:
        """(row group, row in it)"""
        block = bisect_right(self.ends, row)
        return block, row - (self.ends[block] - self.blocks[block])

    def fields(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """These columns of a row. UserError: its row group is damaged, or a text is no UTF-8."""
        block, within = self.place(row)
        group = self.group(block, tuple(columns))
        try:
            return {name: group[name][within].as_py() for name in columns}
        except UnicodeDecodeError as error:
            raise UserError(f"{self.where(row)}: is not UTF-8 text ({error}).") from None

    def where(self, row: int) -> str:
        block, within = self.place(row)
        number, group = self.groups[block]
        return f"{self.files[number]}, row {self.files[number].name}:{group}:{within}"

    def group(self, block: int, columns: tuple[str, ...]) -> dict[str, Any]:
        """Columns of a row group, as Arrow arrays."""
        if (block, columns) in self.kept:
            self.kept.move_to_end((block, columns))
            return self.kept[block, columns]
        number, group = self.groups[block]
        try:
            table = self._file(number).read_row_group(group, columns=list(columns))
        except Exception as error:  # pyarrow's own errors, and the system's
            file = self.files[number]
            raise UserError(f"{file}: row group {group} is damaged ({first_line(error)}). Copy it again.") from error
        self.kept[block, columns] = {name: table.column(name) for name in columns}
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return self.kept[block, columns]

    def column(self, name: str) -> Iterator[Any]:
        """A column from beginning to end, as Arrow arrays of a row group each; nothing of it is kept."""
        for number, group in self.groups:
            yield self._file(number).read_row_group(group, columns=[name]).column(0)

    def _schema(self, number: int) -> Any:
        return self._file(number).schema_arrow

    def _file(self, number: int) -> Any:
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise UserError(f"{self.files[0]}: to read Parquet, install pyarrow: pip install 'uip2p[data]'.") from None

        if number not in self.opened:
            file = self.files[number]
            try:
                self.opened[number] = parquet.ParquetFile(file)
            except Exception as error:
                raise UserError(f"{file}: cannot be read as Parquet ({first_line(error)}). Copy it again.") from error
            if len(self.opened) > OPEN:
                self.opened.popitem(last=False)[1].close()
        self.opened.move_to_end(number)
        return self.opened[number]


class ParquetSource:
    """files: one or more, in their order. UserError: no Parquet, or a column that is not there (it lists those that
    are)."""

    def __init__(self, files: Sequence[Path]):
        self.rows = RowGroups(files)
        self.rows.check(["image", *TEXTS])
        self.blocks = self.rows.blocks

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        block, within = self.rows.place(row)
        number, group = self.rows.groups[block]
        return f"{self.rows.files[number].name}:{group}:{within}"

    def record(self, row: int) -> EditRecord:
        fields = self.rows.fields(row, ["image", *TEXTS])
        where = self.rows.where(row)
        return to_record(fields, picture(fields["image"], where), where)


class ParquetTable(RowGroups):
    """Parquet files as a table of captions (`table.Table`): a row's picture is not read with its texts."""

    def __init__(self, files: Sequence[Path]):
        super().__init__(files)
        self.title, self.names = str(self.files[0]), short_names(self.files)

    def name(self, row: int) -> str:
        block, within = self.place(row)
        number, group = self.groups[block]
        return f"{self.names[number]}:{group}:{within}"

    def folder(self, row: int) -> Path:
        return self.files[self.groups[self.place(row)[0]][0]].parent


def picture(image: Any, where: str, field: str = "image") -> Any:
    """A path or bytes, from {"bytes", "path"} or from one of the two. UserError: there is neither."""
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if not image:
        raise UserError(f"{where}: the field {field!r} is missing.")
    return image
