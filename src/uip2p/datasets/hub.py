"""Data sets of Hugging Face's `datasets` library: an id of the hub, or a folder written by save_to_disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uip2p.datasets.columns import find_columns, to_caption
from uip2p.datasets.magicbrush import OWN_COLUMNS
from uip2p.datasets.parquet import picture
from uip2p.datasets.streaming import CaptionStream, Picture
from uip2p.datasets.table import kind
from uip2p.errors import UserError, first_line
from uip2p.records import Caption

BLOCK = 1000  # rows that are called neighbours: the library maps its files, and any row costs the same


class HubTable:
    """A `datasets.Dataset` as a table of captions (`table.Table`); its pictures are not decoded. name: of its split."""

    def __init__(self, dataset: Any, title: str, name: str):
        self.dataset, self.title, self.split = _raw(dataset), title, name
        self.columns = {field.name: field.type for field in self.dataset.features.arrow_schema}
        self.blocks = [min(BLOCK, len(dataset) - at) for at in range(0, len(dataset), BLOCK)]
        self.views: dict[tuple[str, ...], Any] = {}

    def name(self, row: int) -> str:
        return f"{self.split}:{row}"

    def where(self, row: int) -> str:
        return f"{self.title}, row {self.name(row)}"

    def folder(self, row: int) -> Path:
        return Path()

    def check(self, columns: Sequence[str]) -> None:
        """The library keeps all parts of a data set alike."""

    def fields(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        names = tuple(columns)
        if names not in self.views:
            self.views[names] = self.dataset.select_columns(list(names))
        return self.views[names][row]

    def column(self, name: str) -> Iterator[Any]:
        for batch in self.dataset.select_columns([name]).with_format("arrow").iter(10_000):
            yield batch.column(0)


class HubStream(CaptionStream):
    """A data set that is not downloaded. Its parts are its files on the hub; a part is read from its beginning to skip
    the rows before `start`, which a file of Parquet does without decoding them. id: of a caption, the split's name, the
    part and the row in it."""

    def __init__(self, where: str, config: str | None, split: str | None, asked: Mapping[str, str]):
        self.where, self.split, self.asked = where, split or "train", dict(asked)
        self.dataset = _raw(_load(where, config, self.split, streaming=True))

    @property
    def parts(self) -> int:
        return self.dataset.num_shards

    def read(self, part: int, start: int = 0) -> Iterator[tuple[Caption | UserError, Picture]]:
        raise NotImplementedError


def hub_table(where: str, config: str | None, split: str | None) -> HubTable:
    return HubTable(_load(where, config, split or "train", streaming=False), where, split or "train")


def saved_table(path: Path, split: str | None) -> HubTable:
    """UserError: it is not what save_to_disk writes, or has no such split."""
    found = _call(str(path), lambda library: library.load_from_disk(str(path)))
    if isinstance(found, Mapping):
        split = split or "train"
        if split not in found:
            raise UserError(f"{path}: has no split {split!r}; there are {', '.join(found)}.")
        found = found[split]
    elif split:
        raise UserError(f"{path}: is one data set without splits: leave split away.")
    return HubTable(found, str(path), split or path.name)


def _load(where: str, config: str | None, split: str, streaming: bool) -> Any:
    name, _, revision = where.partition("@") if not Path(where).exists() else (where, "", "")
    return _call(
        where,
        lambda library: library.load_dataset(
            name, config, split=split, revision=revision or None, streaming=streaming
        ),
    )


def _call(where: str, load: Callable[[Any], Any]) -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError(f"{where}: this needs the datasets library: pip install 'uip2p[data]'.") from None
    try:
        return load(datasets)
    except Exception as error:  # the library's own errors, the hub's, Arrow's and the system's
        raise UserError(f"{where}: cannot be loaded as a data set ({first_line(error)}).") from error


def _raw(dataset: Any) -> Any:
    """The data set with its pictures as {"bytes", "path"}."""
    import datasets

    for name, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset
