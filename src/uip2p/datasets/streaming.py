"""Captions in shards, whatever they come from: what a run over millions of them goes through.

`shards` says what there is to do, `read` does one of them, from any place on. Both are pure functions of the source, so
that any process can do any shard, and a killed one is done again from where it was. `shuffled` is for training.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from uip2p.datasets.pictures import NoRows
from uip2p.datasets.source import CaptionSource, short_names
from uip2p.datasets.tar import TarCaptions
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
        """The captions of a part in their order, without the first `start`. UserError: the part cannot be read."""


class TarStream(CaptionStream):
    """Tar shards, each listed when it is its turn. For what is in them see `tar.TarCaptions`."""

    def __init__(self, files: Sequence[Path], asked: Mapping[str, str]):
        self.files, self.asked, self.names = list(files), dict(asked), short_names(files)

    @property
    def parts(self) -> int:
        return len(self.files)

    def read(self, part: int, start: int = 0) -> Iterator[tuple[Caption | UserError, Picture]]:
        try:
            source = TarCaptions([self.files[part]], self.asked, [self.names[part]])
        except NoRows:  # as img2dataset leaves it where no download succeeded
            return
        for _, caption, picture in read(source, Shard(0, 0, len(source)), start):
            yield caption, picture


def shards(source: CaptionSource | CaptionStream, rows: int) -> list[Shard]:
    """The whole source in shards, always the same for the same source and `rows`.

    A source's shards have `rows` captions, or up to half more or less (fewer in the last one): the captions of one
    picture are never in two, and neighbours that are cheap to read together (row groups, tars) stay together where that
    is possible. A stream's shards are its parts, however many captions those have.
    """
    if isinstance(source, CaptionStream):
        return [Shard(part, part * PART, None) for part in range(source.parts)]
    cuts, at = [0], 0
    for block in source.blocks:
        begin, at = at, at + block
        if at - cuts[-1] > 1.5 * rows and begin - cuts[-1] >= 0.5 * rows:
            cuts.append(begin)
        while at - cuts[-1] > 1.5 * rows:
            cut = cuts[-1] + rows
            while cut < at and source.image_id(cut) == source.image_id(cut - 1):
                cut += 1
            cuts.append(cut)
        if at - cuts[-1] >= rows:
            cuts.append(at)
    cuts += [at] if at > cuts[-1] else []
    return [Shard(number, cuts[number], cuts[number + 1] - cuts[number]) for number in range(len(cuts) - 1)]


def read(
    source: CaptionSource | CaptionStream, shard: Shard, start: int = 0
) -> Iterator[tuple[int, Caption | UserError, Picture]]:
    """The captions of a shard in their order, without the first `start`: (row number, caption, its picture).

    Row numbers rise by one from `shard.first`, and are those of `source.caption(row)` where the source is no stream. A
    row whose caption cannot be read comes as its UserError, and the next one follows: of millions, one is no reason to
    stop. A picture is read when it is asked for; a hub's stream brings it along, and it stays in memory as long as its
    getter does. Raises UserError where a stream's part cannot be read at all.
    """
    if isinstance(source, CaptionStream):
        for number, (caption, picture) in enumerate(source.read(shard.number, start), shard.first + start):
            yield number, caption, picture
        return
    assert shard.rows is not None
    for row in range(shard.first + start, shard.first + shard.rows):
        yield row, _caption(source, row), partial(source.image, row)


def _caption(source: CaptionSource, row: int) -> Caption | UserError:
    try:
        return source.caption(row)
    except UserError as error:
        return error


class Position(NamedTuple):
    """Where `shuffled` stands: rows of a part that are done, parts of this epoch that are, epochs that are."""

    epoch: int = 0
    turn: int = 0
    row: int = 0


BEGIN = Position()


def shuffled(
    stream: CaptionStream, seed: int, share: tuple[int, int] = (0, 1), position: Position = BEGIN, window: int = 256
) -> Iterator[tuple[Position, Caption | UserError, Picture]]:
    """A stream without end, shuffled: (where to go on after this row, its caption, its picture).

    Each epoch has an order of parts of its own, and `window` rows of a part after another are mixed. share: (number, of
    how many), for ranks and their workers: each takes its share of an epoch's parts. To go on from a position, nothing
    but the part it is in is looked at again. UserError: there are fewer parts than shares.
    """
    mine, of = share
    if stream.parts < of:
        raise UserError(f"{stream.parts} parts cannot be shared by {of} readers: give fewer ranks or workers.")
    epoch, turn, row = position
    while True:
        order = list(range(stream.parts))
        random.Random(f"uip2p/stream/{seed}/{epoch}").shuffle(order)
        parts = order[mine::of]
        while turn < len(parts):
            begin = row - row % window
            rows, done = stream.read(parts[turn], begin), row - begin
            while mixed := list(islice(rows, window)):
                random.Random(f"uip2p/stream/{seed}/{epoch}/{parts[turn]}/{begin}").shuffle(mixed)
                for caption, picture in mixed[done:]:
                    row += 1
                    yield Position(epoch, turn, row), caption, picture
                begin, done = begin + window, 0
            turn, row = turn + 1, 0
        epoch, turn = epoch + 1, 0
