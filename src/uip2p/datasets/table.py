"""Captions from a table with a row for each picture: Parquet files, a data set of Hugging Face's library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from uip2p.datasets.columns import captions_of, find_columns
from uip2p.datasets.parquet import picture as picture_of
from uip2p.datasets.pictures import Pictures


class Table(Protocol):
    """Rows by number. title: what errors about the whole begin with. blocks: rows that are cheap to read together.
    columns: the name of each and its Arrow type."""

    title: str
    blocks: list[int]
    columns: dict[str, Any]

    def name(self, row: int) -> str: ...

    def where(self, row: int) -> str: ...

    def folder(self, row: int) -> Path:
        """Where the paths of its pictures begin, if they are relative."""

    def check(self, columns: Sequence[str]) -> None:
        """UserError: a part of the table does not have these columns."""

    def fields(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """These columns of a row, and nothing else is read."""

    def column(self, name: str) -> Iterator[Any]:
        """A whole column, as Arrow arrays one after the other."""


class TableCaptions(Pictures):
    """A caption column of texts, or of lists of texts. Lists are counted when the source is opened.

    rows: which rows of the table, rising; None for all.
    """

    def __init__(
        self, table: Table, asked: Mapping[str, str], rows: np.ndarray | None = None,
        required: tuple[str, ...] = ("caption", "image"),
    ):  # fmt: skip
        kinds = {name: kind(type_) for name, type_ in table.columns.items()}
        self.table, self.rows = table, rows
        self.columns = find_columns(kinds, asked, table.title, required)
        table.check([*self.columns.texts, self.columns.image])
        counts, blocks = None, table.blocks
        if self.columns.caption and kinds[self.columns.caption] == "texts":
            counts = np.concatenate([_lengths(column) for column in table.column(self.columns.caption)])
        if rows is not None:
            counts = None if counts is None else counts[rows]
            blocks = np.diff(np.searchsorted(rows, np.cumsum([0, *table.blocks]))).tolist()
        super().__init__(blocks, counts, table.title)

    def name(self, picture: int) -> str:
        return self.table.name(self._row(picture))

    def where(self, picture: int, number: int) -> str:
        return self.table.where(self._row(picture))

    def fields(self, picture: int, number: int) -> Mapping[str, Any]:
        fields = self.table.fields(self._row(picture), self.columns.texts)
        caption = self.columns.caption
        return fields | {caption: captions_of(fields[caption])[number]}

    def picture(self, picture: int) -> Any:
        row, column = self._row(picture), self.columns.image
        found = picture_of(self.table.fields(row, [column])[column], self.table.where(row), column)
        return self.table.folder(row) / found if isinstance(found, str) else found

    def _row(self, picture: int) -> int:
        return picture if self.rows is None else int(self.rows[picture])


def kind(type_: Any) -> str:
    """What a column of this Arrow type holds, in the words of `find_columns`."""
    from pyarrow import types

    if types.is_dictionary(type_):
        return kind(type_.value_type)
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_) or types.is_null(type_):
        return "text"
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return "texts" if kind(type_.value_type) == "text" else str(type_)
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_binary_view(type_):
        return "picture"
    if types.is_struct(type_) and type_.get_field_index("bytes") >= 0:
        return "picture"
    return str(type_)


def _lengths(column: Any) -> np.ndarray:
    from pyarrow import compute

    lengths = compute.fill_null(compute.list_value_length(column), 1)
    return np.maximum(1, lengths.to_numpy())  # an empty list's picture is a row too, whose caption is missing
