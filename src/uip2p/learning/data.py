"""Which samples a step sees, and folders of one's own pictures as endless datasets."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from uip2p.errors import UserError
from uip2p.images import load_image
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


class FolderRecords:
    """A folder of pictures with `metadata.jsonl` (the imagefolder layout), as an endless dataset of edits.

    Each row of metadata.jsonl is a JSON object with file_name, caption, instruction, edited_caption and
    reverse_instruction; other fields are ignored. `dataset[index]` is, for any index >= 0, a dict with the fields of
    EditRecord, the image as uint8 [size, size, 3] (resized, centre cropped). Every epoch has an order of its own.

    path: the folder, or its metadata.jsonl. split, validation: of the rows, all but this share ("train") or this share
    ("validation"); a row's place follows from its file name, whatever else the folder holds. Raises UserError that
    names the file, the row and the field at fault.
    """

    TEXTS = ("caption", "instruction", "edited_caption", "reverse_instruction")

    def __init__(self, path: str | Path, size: int, seed: int = 0, split: str = "train", validation: float = 0.0):
        path = Path(path)
        self.metadata = path if path.suffix == ".jsonl" else path / "metadata.jsonl"
        self.size = size
        records = list(self._read())
        if not records:
            raise UserError(f"{self.metadata}: has no rows.")
        held_out = [key("split", record.image.name) % 10_000 < 10_000 * validation for record in records]
        self.records = [r for r, held in zip(records, held_out, strict=True) if held == (split == "validation")]
        if not self.records and split == "train":
            raise UserError(f"{self.metadata}: every row is held out for validation. Lower data.validation.")
        self.order = Shuffled(max(1, len(self.records)), seed)

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> EditRecord:
        """Sample number `index` with its picture loaded: uint8 [size, size, 3]."""
        record = self.records[self.order(index)]
        picture = ImageOps.fit(load_image(record.image), (self.size, self.size), Image.Resampling.LANCZOS)
        return EditRecord(np.asarray(picture), *(getattr(record, name) for name in self.TEXTS))

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.record(index)
        return {field.name: getattr(record, field.name) for field in fields(record)}

    def _read(self) -> Iterator[EditRecord]:
        try:
            lines = self.metadata.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            raise UserError(
                f"{self.metadata}: there is no such file; each of its rows describes one picture."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.metadata}: cannot be read as UTF-8 text ({error}).") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self._parse(line, f"{self.metadata}, row {number}")

    def _parse(self, line: str, where: str) -> EditRecord:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: is not valid JSON ({error.msg}, column {error.colno}).") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: must be a JSON object with file_name, {', '.join(self.TEXTS)}.")
        for name in ("file_name", *self.TEXTS):
            if name not in row:
                raise UserError(f"{where}: the field {name!r} is missing.")
            if not isinstance(row[name], str) or not row[name].strip():
                raise UserError(f"{where}: the field {name!r} must be text that is not empty, got {row[name]!r}.")
        image = self.metadata.parent / row["file_name"]
        if not image.is_file():
            raise UserError(f"{where}: file_name {row['file_name']!r} is not a file in {self.metadata.parent}.")
        return EditRecord(image, *(row[name].strip() for name in self.TEXTS))
