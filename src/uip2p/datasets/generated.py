"""The folder of a run of `uip2p data generate`, for training: its edits, and the pictures of the captions' source."""

from __future__ import annotations

import json
import warnings
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

from uip2p.config import from_dict
from uip2p.datasets.parquet import KEPT
from uip2p.datasets.source import TEXTS, CaptionSource, to_record
from uip2p.datasets.streaming import CaptionStream
from uip2p.errors import UserError, first_line
from uip2p.instructions.config import SourceConfig, fingerprint
from uip2p.instructions.shards import finished, place
from uip2p.records import EditRecord

ALL = 200_000  # rows whose texts are kept in memory, about 100 MB: training then mixes all of them
COLUMNS = ["row", "id", "image_id", *TEXTS]


class GeneratedSource:
    """The accepted edits of a run's finished shards, in the source's order, each with its picture: the copied one, or
    the source's. An edit's texts and the picture before it are all that is read, and all that there is.

    Row groups are read whole and the last few kept, or all where that is little. UserError: no shard is finished; the
    source has moved or changed. A warning: some shards are not finished yet.
    """

    def __init__(self, out: Path):
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise UserError(f"{out}: to read Parquet, install pyarrow: pip install 'uip2p[data]'.") from None

        self.out, self.parquet = out, parquet
        try:
            config = json.loads((out / "config.json").read_text(encoding="utf-8"))
            asked, captions, copied = config["source"], config["captions"], config["copy_pictures"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{out}/config.json: is not that of a run of data generate ({first_line(error)})."
            ) from None
        self.captions = None if copied else self._open(asked, captions)
        self.groups: list[tuple[int, int]] = []  # (shard, row group)
        self.sizes: list[int] = []
        numbers = finished(out)
        for number in numbers:
            about = self._read(number, parquet.read_metadata)
            for group in range(about.num_row_groups):
                self.groups.append((number, group))
                self.sizes.append(about.row_group(group).num_rows)
        self.ends = list(accumulate(self.sizes))
        few = not copied and len(self) <= ALL
        self.blocks = [1] * len(self) if few else self.sizes  # nothing is cheaper in a neighbour's company
        self.most = len(self.sizes) if few else KEPT
        self.kept: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()
        if not len(self):
            what = "its finished shards have no accepted edit" if numbers else "no shard is finished yet"
            raise UserError(f"{out}: {what}. Run uip2p data generate until there are some.")
        if left := len(list((out / "journal").glob("*.jsonl"))):
            warnings.warn(
                f"{out}: this run is not finished ({len(numbers)} shards are, {left} are in progress): training sees "
                f"the {len(self):,} edits of the finished ones, and others once there are more.",
                stacklevel=2,
            )

    def _open(self, asked: dict[str, Any], captions: dict[str, Any]) -> CaptionSource:
        again = (
            f"Put it back; or run the data generate command again with the place where it is now and -o {self.out}, "
            "which notes it there."
        )
        try:
            source = from_dict(SourceConfig, asked, f"{self.out}/config.json source").open()
        except UserError as error:
            raise UserError(f"{self.out}: the pictures are in the captions' source, and {error} {again}") from None
        if isinstance(source, CaptionStream):
            raise UserError(
                f"{self.out}: its captions came from a stream, which has no picture at a row number. Generate into "
                "another folder with --copy-pictures."
            )
        if fingerprint(source) != captions:
            raise UserError(
                f"{self.out}: its edits were written for {captions['rows']:,} captions, {captions['first']!r} to "
                f"{captions['last']!r}, and {asked['path']} has others now. {again}"
            )
        return source

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def name(self, row: int) -> str:
        """The picture's id: all edits of a picture are on the same side of a split."""
        return self._fields(row)[0]["image_id"]

    def record(self, row: int) -> EditRecord:
        fields, where = self._fields(row)
        if self.captions is None:
            image = (fields["image"] or {}).get("bytes")
            if not image:
                raise UserError(f"{where}: the field 'image' is missing.")
            return to_record(fields, image, where)
        there = self.captions.caption(fields["row"]).id
        if there != fields["id"]:
            raise UserError(
                f"{where}: was written for the caption {fields['id']!r}, and in its place the source has {there!r}: "
                "its rows have changed. Generate the edits anew, into another folder."
            )
        return to_record(fields, self.captions.image(fields["row"]), where)

    def _fields(self, row: int) -> tuple[dict[str, Any], str]:
        block = bisect_right(self.ends, row)
        within = row - (self.ends[block] - self.sizes[block])
        number, group = self.groups[block]
        if block not in self.kept:
            columns = COLUMNS if self.captions is not None else [*COLUMNS, "image"]
            self.kept[block] = self._read(number, lambda path: self._group(path, group, columns))
            if len(self.kept) > self.most:
                self.kept.popitem(last=False)
        self.kept.move_to_end(block)
        return self.kept[block][within], f"{place(self.out, 'edits', number)}, row group {group}, row {within}"

    def _group(self, path: Path, group: int, columns: list[str]) -> list[dict[str, Any]]:
        with self.parquet.ParquetFile(path) as file:
            return file.read_row_group(group, columns=columns).to_pylist()

    def _read(self, number: int, how: Any) -> Any:
        path = place(self.out, "edits", number)
        try:
            return how(path)
        except Exception as error:  # pyarrow's own errors, and the system's
            raise UserError(
                f"{path}: is missing or damaged ({first_line(error)}). Remove {place(self.out, 'shards', number)} and "
                "run uip2p data generate again: it does that shard anew."
            ) from None
