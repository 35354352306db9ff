"""What the readers of captions have in common: numbered pictures, each with one caption or several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from uip2p.datasets.columns import Columns, to_caption
from uip2p.errors import UserError
from uip2p.records import Caption


class NoRows(UserError):
    """There is nothing in it."""


class Pictures(ABC):
    """A CaptionSource over pictures 0 … n − 1; a reader says what each is called, what its fields are, where it lies.

    blocks: pictures that are cheap to read together, as counts. counts: captions of each picture, None for one each; a
    picture without any counts as 1, so that somebody asks for its caption and is told.
    skipped: what is no row of the source though one might look for it: reason → how many.
    """

    columns: Columns

    def __init__(self, blocks: Sequence[int], counts: Sequence[int] | np.ndarray | None, where: str):
        self.skipped: dict[str, int] = {}
        ends = list(accumulate(blocks))
        self.ends = None if counts is None else np.cumsum(np.asarray(counts, np.int64))
        self.blocks: Sequence[int] = list(blocks)
        if self.ends is not None:
            until = np.concatenate([[0], self.ends])[[0, *ends]]
            self.blocks = np.diff(until).tolist()
        self.length = sum(self.blocks)
        if not self.length:
            raise NoRows(f"{where}: has no rows.")

    def __len__(self) -> int:
        return self.length

    def caption(self, row: int) -> Caption:
        picture, number, several = self._place(row)
        suffix = f"#{number + 1}" if several else ""
        fields, where = self.fields(picture, number), self.where(picture, number)
        return to_caption(fields, self.columns, self.name(picture), suffix, where)

    def image(self, row: int) -> Any:
        return self.picture(self._place(row)[0])

    def image_id(self, row: int) -> str:
        return self.name(self._place(row)[0])

    def _place(self, row: int) -> tuple[int, int, bool]:
        """(picture, number of the caption, whether the picture has several)"""
        if not 0 <= row < self.length:
            raise IndexError(row)
        if self.ends is None:
            return row, 0, False
        picture = int(np.searchsorted(self.ends, row, "right"))
        first = int(self.ends[picture - 1]) if picture else 0
        return picture, row - first, int(self.ends[picture]) - first > 1

    @abstractmethod
    def name(self, picture: int) -> str:
        """The picture's image_id."""

    @abstractmethod
    def where(self, picture: int, number: int) -> str:
        """Where it lies, for the beginning of an error."""

    @abstractmethod
    def fields(self, picture: int, number: int) -> Mapping[str, Any]:
        """The fields of its caption `number` (0, 1 …), by the names in `columns`."""

    @abstractmethod
    def picture(self, picture: int) -> Any:
        """A path, or the bytes of a file."""
