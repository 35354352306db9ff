"""Captions in shards, whatever they come from: what a run over millions of them goes through.

`shards` says what there is to do, `read` does one of them, from any place on. Both are pure functions of the source, so
that any process can do any shard, and a killed one is done again from where it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from uip2p.datasets.source import CaptionSource
from uip2p.errors import UserError
from uip2p.records import Caption

Picture = Callable[[], Any]
"""() -> the picture, a path or the bytes of a file. UserError: it cannot be had."""

PART = 1 << 32  # row numbers that each part of a stream has for its own


@dataclass(frozen=True, slots=True)
class Shard:
    """Captions that lie together. number: 0, 1, 2 … in the list that `shards` gives. first: the row number of its first
    caption. rows: how many captions it has; None in a stream, where nobody knows before it is read."""

    number: int
    first: int
    rows: int | None


class CaptionStream(ABC):
    """Captions that can only be read one after the other, in parts (a tar, a file of a data set on a hub). There is no
    `image(row)`: whoever needs a picture later keeps it when it comes by."""

    @property
    @abstractmethod
    def parts(self) -> int:
        """How many parts there are."""

    @abstractmethod
    def read(self, part: int, start: int = 0) -> Iterator[tuple[Caption | UserError, Picture]]:
        """The captions of a part in their order, without the first `start`."""


def shards(source: CaptionSource | CaptionStream, rows: int) -> list[Shard]:
    """The whole source in shards, always the same for the same source and `rows`.

    A source's shards have `rows` captions or a few more or less: the captions of one picture are never in two, and
    neighbours that are cheap to read together (row groups, tars) stay together where that is possible. A stream's
    shards are its parts, however many captions those have.
    """
    raise NotImplementedError


def read(
    source: CaptionSource | CaptionStream, shard: Shard, start: int = 0
) -> Iterator[tuple[int, Caption | UserError, Picture]]:
    """The captions of a shard in their order, without the first `start`: (row number, caption, its picture).

    Row numbers rise by one from `shard.first`, and are those of `source.caption(row)` where the source is no stream. A
    row whose caption cannot be read comes as its UserError, and the next one follows: of millions, one is no reason to
    stop. Nothing of a picture is read before it is asked for, in a stream at the latest when the next row is taken: ask
    for it before then.
    """
    raise NotImplementedError
