"""Which samples a step sees, and one's own records as endless datasets."""

from __future__ import annotations

import signal
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from uip2p.datasets import open_records
from uip2p.datasets.source import TEXTS
from uip2p.errors import UserError
from uip2p.images import load_image
from uip2p.learning.quarantine import Quarantine
from uip2p.learning.randomness import key
from uip2p.records import EditRecord


def step_samples(step: int, batch_size: int, rank: int = 0, world: int = 1) -> range:
    """The global indices of one rank's part of a step: step k of all ranks is k·batch_size … (k+1)·batch_size."""
    first = step * batch_size
    return range(first + batch_size * rank // world, first + batch_size * (rank + 1) // world)


class StepSampler:
    """The batches of steps `start` … `stop` - 1, as lists of global indices. Where a run stands is one number."""

    def __init__(self, start: int, stop: int, batch_size: int, rank: int = 0, world: int = 1):
        self.start, self.stop, self.batch_size, self.rank, self.world = start, stop, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            yield list(step_samples(step, self.batch_size, self.rank, self.world))

    def __len__(self) -> int:
        return max(0, self.stop - self.start)


class _Endless(Dataset):
    """What DataLoader needs around a dataset that only has [index].

    A UserError comes back as an item: a worker's exceptions reach the parent with a traceback in their message.
    """

    def __init__(self, source: Any):
        self.source = source

    def __getitem__(self, index: int) -> dict | UserError:
        try:
            return self.source[index]
        except UserError as error:
            return error


def _worker(_: int) -> None:
    """Signals are the parent's business: it finishes its step, then ends its workers (by SIGTERM if need be)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _as_list(items: list) -> list:
    return items


def batches(dataset: Any, sampler: StepSampler, workers: int = 0) -> Iterator[list[dict]]:
    """The samples of each step, in order. Workers change the speed and nothing else."""
    if workers and getattr(dataset, "mapped", False):
        yield from _read_ahead(dataset, sampler)
        return
    loader = DataLoader(
        _Endless(dataset),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_as_list,
        worker_init_fn=_worker,
        # Forked workers notice when a killed parent is gone; a fork server's would wait for it for ever.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    for items in loader:
        for item in items:
            if isinstance(item, UserError):
                raise item
        yield items


def _read_ahead(dataset: Any, sampler: StepSampler, batches: int = 2) -> Iterator[list[dict]]:
    """For rows on a memory map, where reading is copying: one thread, some batches ahead. Workers would copy each row
    twice more to hand it over, and take several times as long (benchmarks/loader.py)."""

    def read(indices: list[int]) -> list[dict]:
        rows = [dataset[index] for index in indices]
        return [{k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in rows]

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[list[dict]]] = deque()
        try:
            for indices in sampler:
                waiting.append(thread.submit(read, indices))
                if len(waiting) > batches:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Shuffled:
    """index -> row for a finite dataset: epoch after epoch, each a permutation of its own, in no memory at all.

    The permutation is a four-round Feistel cipher on the smallest power of four that holds `length`; an index that
    lands outside is enciphered again until it lands inside ("cycle walking"), less than four times on average.
    """

    def __init__(self, length: int, seed: int = 0):
        if length < 1:
            raise ValueError("there must be at least one row")
        self.length, self.seed = length, seed
        self.half = max(1, ((length - 1).bit_length() + 1) // 2)

    def __call__(self, index: int) -> int:
        epoch, row = divmod(index, self.length)
        row = self._encipher(epoch, row)
        while row >= self.length:
            row = self._encipher(epoch, row)
        return row

    def _encipher(self, epoch: int, row: int) -> int:
        mask = (1 << self.half) - 1
        left, right = row >> self.half, row & mask
        for turn in range(4):
            left, right = right, left ^ (key("shuffle", self.seed, epoch, turn, right) & mask)
        return (left << self.half) | right


class BlockShuffled:
    """index -> row like `Shuffled`, for rows that lie in blocks: the blocks of an epoch come in an order of its own,
    and `window` of them after another are mixed. Whoever keeps that many blocks reads each once an epoch.

    blocks: how many rows each has. Memory: a few numbers a block, for the last epoch that was asked for.
    """

    def __init__(self, blocks: Sequence[int], seed: int = 0, window: int = 8):
        self.blocks, self.seed, self.window = list(blocks), seed, window
        self.starts = [0, *accumulate(self.blocks)]
        self.length = self.starts[-1]
        if self.length < 1:
            raise ValueError("there must be at least one row")
        self.epoch: int | None = None

    def __call__(self, index: int) -> int:
        epoch, at = divmod(index, self.length)
        if epoch != self.epoch:
            self._lay_out(epoch)
        number = bisect_right(self.ends, at)
        begin = self.ends[number - 1] if number else 0
        at = self.mixed[number](at - begin)
        for block in self.windows[number]:
            if at < self.blocks[block]:
                return self.starts[block] + at
            at -= self.blocks[block]
        raise AssertionError("a window is as long as its blocks together")

    def _lay_out(self, epoch: int) -> None:
        order = Shuffled(len(self.blocks), self.seed)
        blocks = [order(epoch * len(self.blocks) + i) for i in range(len(self.blocks))]
        windows = [blocks[i : i + self.window] for i in range(0, len(blocks), self.window)]
        self.windows = [window for window in windows if sum(self.blocks[block] for block in window)]
        lengths = [sum(self.blocks[block] for block in window) for window in self.windows]
        self.ends = list(accumulate(lengths))
        self.mixed = [Shuffled(n, key(self.seed, epoch, i)) for i, n in enumerate(lengths)]
        self.epoch = epoch


class OwnRecords:
    """A user's own records as an endless dataset: `dataset[index]` is, for any index >= 0, a dict with the fields of
    EditRecord, the image as uint8 [size, size, 3] (resized, centre cropped). Every epoch has an order of its own.

    path: see `datasets.open_records`. split, validation: of the rows, all but this share ("train") or this share
    ("validation"); where a row belongs follows from its name, whatever else there is. Raises UserError that names the
    file, the row and the field at fault.

    A row whose picture cannot be decoded is replaced by the next one of the order that can, a pure function of the
    index, so that ranks stay in step and a resumed run sees the same. corrupt: the share of such rows that is put up
    with; quarantine: the file in which they are written down, see `Quarantine`.
    """

    def __init__(
        self,
        path: str | Path,
        size: int,
        seed: int = 0,
        split: str = "train",
        validation: float = 0.0,
        corrupt: float = 0.01,
        quarantine: Path | None = None,
    ):
        self.source, self.size = open_records(path), size
        self.rows: list[int] | None = None
        blocks = list(self.source.blocks)
        if validation or split == "validation":
            held_out = [self._is_held_out(row, validation) for row in range(len(self.source))]
            wanted = [held == (split == "validation") for held in held_out]
            self.rows = [row for row, want in enumerate(wanted) if want]
            ends = list(accumulate(blocks))
            blocks = [sum(wanted[end - count : end]) for end, count in zip(ends, blocks, strict=True)]
            if not self.rows and split == "train":
                raise UserError(f"{path}: every row is held out for validation. Lower data.validation.")
        many = len(blocks) == len(self.source)  # a block a row: mix them all
        self.order = Shuffled(max(1, len(self)), seed) if many or not len(self) else BlockShuffled(blocks, seed)
        self.quarantine = Quarantine(quarantine, corrupt, len(self))

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    def record(self, index: int) -> EditRecord:
        """Sample number `index` with its picture loaded: uint8 [size, size, 3]."""
        for at in range(index, index + 2 * len(self)):  # in two epochs' length, every row comes
            row = self.order(at)
            row = row if self.rows is None else self.rows[row]
            record = self.source.record(row)
            self.quarantine.seen += 1
            try:
                picture = load_image(record.image)
            except UserError as error:
                self.quarantine.add(self.source.name(row), str(error))
                continue
            fitted = ImageOps.fit(picture, (self.size, self.size), Image.Resampling.LANCZOS)
            return replace(record, image=np.asarray(fitted))
        raise UserError(f"{self.source.name(0)} and {len(self) - 1} more: not one picture can be read.")

    def texts(self, rows: int = 50_000) -> Iterator[str]:
        """Every text of the first so many rows."""
        for row in range(min(rows, len(self))):
            record = self.source.record(row if self.rows is None else self.rows[row])
            yield from (getattr(record, name) for name in TEXTS)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.record(index)
        return {field.name: getattr(record, field.name) for field in fields(record)}

    def _is_held_out(self, row: int, share: float) -> bool:
        return key("split", self.source.name(row)) % 10_000 < 10_000 * share
