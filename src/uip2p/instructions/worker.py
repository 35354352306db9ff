"""Whoever does shards of a run: this process, one of several, or an actor of a cluster. See `generate` for the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from uip2p.datasets.streaming import Picture, read
from uip2p.errors import UserError
from uip2p.instructions.accept import DUPLICATE, Judge, duplicates
from uip2p.instructions.config import Config, plan
from uip2p.instructions.shards import Counts, Done, Journal, Judged, place, write_counts, write_rows
from uip2p.instructions.writer import Writer, Written
from uip2p.records import Caption

MakeWriter = Callable[[Config, Counts], Writer]
PICTURE = "picture"  # the reason to reject an edit whose picture cannot be copied


@dataclass
class _Begun:
    """A shard in progress. waiting: captions (and pictures) that the writer has, by row. whole: it has them all."""

    number: int
    journal: Journal
    waiting: dict[int, tuple[Caption, Any]] = field(default_factory=dict)
    whole: bool = False

    def done(self, first: int) -> int:
        """How many captions are done from the first one on, without a gap."""
        count = 0
        while first + count in self.journal.lines:
            count += 1
        return count


class Worker:
    """Source, writer and judge, opened once. UserError: one of them cannot be."""

    def __init__(self, config: Config, out: Path, make_writer: MakeWriter, spent: Counts):
        self.config, self.out = config, out
        self.source = config.source.open()
        self.shards = plan(self.source, config)
        self.writer = make_writer(config, spent)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.config.rules)

    def work(self, numbers: Iterable[int], stopped: Callable[[], bool] = lambda: False) -> Iterator[Counts]:
        """Do these shards, in one stream of captions: a slow last caption of a shard keeps none of the next waiting.

        Yields what is done, caption by caption. stopped: once it says so no caption is begun any more; those that the
        writer has are awaited. UserError: the writer cannot go on, or the disk is full. Nothing that was done is lost.
        """
        begun: dict[int, _Begun] = {}
        owner: dict[int, _Begun] = {}  # of each row that the writer has
        unreadable: list[Done] = []
        self.last = time.monotonic()
        try:
            captions = self._captions(numbers, stopped, begun, owner, unreadable)
            for written in self.writer.write(captions, self.config.mode):
                yield Counts.of([self._judged(owner.pop(written.row), written)])
                yield from self._finish(begun)
            yield Counts.of(unreadable)
            yield from self._finish(begun)
        finally:
            for shard in begun.values():
                shard.journal.close()

    def _captions(
        self, numbers: Iterable[int], stopped: Callable[[], bool], begun: dict[int, _Begun], owner: dict[int, _Begun],
        unreadable: list[Done],
    ) -> Iterator[tuple[int, Caption]]:  # fmt: skip
        """What is left to write. It runs in whichever thread the writer takes captions."""
        for number in numbers:
            journal = Journal(place(self.out, "journal", number))
            if place(self.out, "shards", number).exists():  # a process died between the last two steps
                journal.remove()
                continue
            shard = begun[number] = _Begun(number, journal)
            for row, caption, picture in self._rows(number, shard.done(self.shards[number].first)):
                if stopped():
                    return
                if row in journal.lines:
                    continue
                if isinstance(caption, UserError):
                    unreadable.append(journal.add(row=row, error=str(caption)))
                    continue
                shard.waiting[row] = caption, self._seen(picture)
                owner[row] = shard
                yield row, caption
            shard.whole = True

    def _rows(self, number: int, start: int = 0) -> Iterator[tuple[int, Caption | UserError, Picture]]:
        shard = self.shards[number]
        return islice(read(self.source, shard, start), None if shard.rows is None else shard.rows - start)

    def _seen(self, picture: Picture) -> Any:
        """The picture, for a judge that looks at it; None where it cannot be had: then nobody can tell."""
        try:
            return picture() if self.config.rules.clip else None
        except UserError:
            return None

    def _judged(self, shard: _Begun, written: Written) -> Done:
        """Judge what was written of a caption, and journal it."""
        caption, picture = shard.waiting[written.row]
        pairs = [(edit, caption) for edit in written.edits]
        verdicts = self.judge(pairs, [picture] * len(pairs)) if pairs else []
        edits = [Judged(edit, v.reasons, v.not_judged) for edit, v in zip(written.edits, verdicts, strict=True)]
        before, self.last = self.last, time.monotonic()
        done = shard.journal.add(
            row=written.row, id=caption.id, image_id=caption.image_id, caption=caption.caption, edits=tuple(edits),
            error=written.error or ("" if edits else "no edit was proposed"),
            calls=written.calls, tokens_in=written.tokens_in, tokens_out=written.tokens_out,
            seconds=round(self.last - before, 5),
        )  # fmt: skip
        del shard.waiting[written.row]
        return done

    def _finish(self, begun: dict[int, _Begun]) -> Iterator[Counts]:
        """Write the files of every shard of which all captions are done. Yields what that changes of the counts."""
        for shard in [shard for shard in list(begun.values()) if shard.whole and not shard.waiting]:
            lines = [shard.journal.lines[row] for row in sorted(shard.journal.lines)]
            before, after = Counts.of(lines), self._write(shard.number, lines)
            write_counts(self.out, shard.number, after)
            shard.journal.remove()
            del begun[shard.number]
            yield Counts(accepted=after.accepted - before.accepted, rejected=after.rejected - before.rejected)

    def _write(self, number: int, lines: list[Done]) -> Counts:
        """The two Parquet files of a shard: a function of its lines and, where pictures are copied, of the source."""
        copied = self.config.copy_pictures
        lines = without_duplicates(lines)
        pictures = self._pictures(number, {line.row for line in lines if any(not each.reasons for each in line.edits)})
        lost: set[int] = set()

        def kept() -> Iterator[dict[str, Any]]:
            for line in lines:
                if not (accepted := [each for each in line.edits if not each.reasons]):
                    continue
                image = next(pictures) if copied else {}
                if image is None:
                    lost.add(line.row)
                    continue
                yield from (self._row(line, each) | image for each in accepted)

        write_rows(place(self.out, "edits", number), kept(), pictures=copied)
        lines = [rejected_for(PICTURE, line) if line.row in lost else line for line in lines]
        rows = (
            self._row(line, each) | {"reasons": each.reasons if each else (), "error": line.error}
            for line in lines
            for each in [*(each for each in line.edits if each.reasons), *([None] if line.error else [])]
        )
        write_rows(place(self.out, "rejected", number), rows, rejected=True)
        return Counts.of(lines)

    def _pictures(self, number: int, wanted: set[int]) -> Iterator[dict[str, Any] | None]:
        """The picture of each row that is wanted, as a column's value; None where it cannot be had."""
        for row, caption, picture in self._rows(number):
            if row in wanted and isinstance(caption, Caption):
                try:
                    image = picture()
                    data = image if isinstance(image, bytes) else Path(image).read_bytes()
                    yield {"image": {"bytes": data, "path": caption.image_id}}
                except (UserError, OSError):
                    yield None

    def _row(self, line: Done, each: Judged | None) -> dict[str, Any]:
        """A row of Parquet. each: None for a caption without an edit."""
        edit = each.edit if each else None
        names = ("kind", "instruction", "edited_caption", "reverse_instruction")
        writer = {"writer": self.writer.name, "model": self.writer.model, "prompt": self.writer.prompt}
        return {
            **{name: getattr(line, name) for name in ("row", "id", "image_id", "caption")},
            **{name: getattr(edit, name) if edit else "" for name in names},
            **writer,
            "seed": self.config.seed,
        }


def without_duplicates(lines: list[Done]) -> list[Done]:
    """What `accept.duplicates` finds among the accepted edits of these lines, in their order, is rejected."""
    accepted = [(line.image_id, each.edit.instruction) for line in lines for each in line.edits if not each.reasons]
    again = iter(duplicates(accepted))

    def ask(each: Judged) -> Judged:
        return replace(each, reasons=(DUPLICATE,)) if not each.reasons and next(again) else each

    return [replace(line, edits=tuple(ask(each) for each in line.edits)) for line in lines]


def rejected_for(reason: str, line: Done) -> Done:
    """The line with that reason against every edit that had none."""
    return replace(line, edits=tuple(each if each.reasons else replace(each, reasons=(reason,)) for each in line.edits))
