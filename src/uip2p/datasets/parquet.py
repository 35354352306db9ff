"""Parquet, as Hugging Face's datasets write it: an image column of {"bytes", "path"} (or of plain bytes), and texts."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from uip2p.datasets.source import TEXTS, to_record
from uip2p.errors import UserError, first_line
from uip2p.records import EditRecord

KEPT = 8  # row groups in memory: as many as an order mixes


class ParquetSource:
    """Row groups are read whole and the last few kept, so that rows near each other cost one reading.

    files: one or more, in their order. UserError: no Parquet, or a column that is not there (it lists those that are).
    """

    def __init__(self, files: Sequence[Path]):
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise UserError(f"{files[0]}: to read Parquet, install pyarrow: pip install 'uip2p[data]'.") from None

        self.files = [Path(file) for file in files]
        self.open: list[Any] = []
        self.groups: list[tuple[int, int]] = []  # (file, row group)
        self.blocks: list[int] = []
        for number, file in enumerate(self.files):
            try:
                table = parquet.ParquetFile(file)
            except Exception as error:  # pyarrow's own errors, and the system's
                raise UserError(f"{file}: cannot be read as Parquet ({first_line(error)}). Copy it again.") from error
            names = table.schema_arrow.names
            for column in ("image", *TEXTS):
                if column not in names:
                    raise UserError(f"{file}: has no column {column!r}; there are {', '.join(names)}.")
            self.open.append(table)
            for group in range(table.num_row_groups):
                self.groups.append((number, group))
                self.blocks.append(table.metadata.row_group(group).num_rows)
        self.ends = list(accumulate(self.blocks))
        self.kept: OrderedDict[int, Any] = OrderedDict()
        if not len(self):
            raise UserError(f"{self.files[0]}: has no rows.")

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def name(self, row: int) -> str:
        block, within = self._place(row)
        number, group = self.groups[block]
        return f"{self.files[number].name}:{group}:{within}"

    def record(self, row: int) -> EditRecord:
        block, within = self._place(row)
        fields = self._group(block).slice(within, 1).to_pylist()[0]
        where = f"{self.files[self.groups[block][0]]}, row {self.name(row)}"
        image = fields["image"]
        if isinstance(image, dict):
            image = image.get("bytes") or image.get("path")
        if not image:
            raise UserError(f"{where}: the field 'image' is missing.")
        return to_record(fields, image, where)

    def _place(self, row: int) -> tuple[int, int]:
        block = bisect_right(self.ends, row)
        return block, row - (self.ends[block] - self.blocks[block])

    def _group(self, block: int) -> Any:
        if block in self.kept:
            self.kept.move_to_end(block)
            return self.kept[block]
        number, group = self.groups[block]
        try:
            table = self.open[number].read_row_group(group, columns=["image", *TEXTS])
        except Exception as error:
            file = self.files[number]
            raise UserError(f"{file}: row group {group} is damaged ({first_line(error)}). Copy it again.") from error
        self.kept[block] = table
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return table
