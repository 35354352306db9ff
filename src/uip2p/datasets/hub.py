"""Data sets of Hugging Face's `datasets` library: an id of the hub, or a folder written by save_to_disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from uip2p.datasets.columns import captions_of, find_columns, to_caption
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
    """A data set that is not downloaded; its parts are its files on the hub, and to start in the middle of one, it is
    read from its beginning. A caption's id: the split, the part, the row in it.

    UserError: it cannot be had, a column is not there, or it is MagicBrush, which needs its other rows to be known.
    """

    def __init__(self, where: str, config: str | None, split: str | None, asked: Mapping[str, str]):
        self.where, self.split = where, split or "train"
        dataset = _load(where, config, self.split, streaming=True)
        there = _kinds(dataset)
        if OWN_COLUMNS.issubset(there):
            raise UserError(f"{where}: MagicBrush is not read as a stream: leave streaming away.")
        self.columns = find_columns(there, asked, where)
        self.lists = there[self.columns.caption] != "text"
        names = [*self.columns.texts, self.columns.image]
        if dataset.info.builder_name == "parquet":  # where columns can be left on the hub
            dataset = _load(where, config, self.split, streaming=True, columns=names)
        self.dataset = _raw(dataset.select_columns(names))

    @property
    def parts(self) -> int:
        return self.dataset.num_shards

    def read(self, part: int, start: int = 0) -> Iterator[tuple[Caption | UserError, Picture]]:
        rows = self.dataset.shard(self.parts, part)
        passed = 0 if self.lists else start  # how many captions lists have, only reading them says
        try:
            for number, row in enumerate(rows.skip(passed), passed):
                captions = list(self._captions(row, f"{self.split}:{part}:{number}"))
                yield from captions[max(0, start - passed) :]
                passed += len(captions)
        except (OSError, ValueError) as error:  # what it says of a connection or of Arrow's data
            raise UserError(f"{self.where}: part {part} cannot be read ({first_line(error)}).") from error

    def _captions(self, row: Mapping[str, Any], name: str) -> Iterator[tuple[Caption | UserError, Picture]]:
        where, columns = f"{self.where}, row {name}", self.columns
        several = captions_of(row[columns.caption])
        getter = partial(picture, row[columns.image], where, columns.image)
        for number, text in enumerate(several, 1):
            suffix = f"#{number}" if len(several) > 1 else ""
            try:
                yield to_caption({**row, columns.caption: text}, columns, name, suffix, where), getter
            except UserError as error:
                yield error, getter


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


def _load(where: str, config: str | None, split: str, **more: Any) -> Any:
    name, _, revision = where.partition("@") if not Path(where).exists() else (where, "", "")
    return _call(
        where, lambda library: library.load_dataset(name, config, split=split, revision=revision or None, **more)
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


def _kinds(dataset: Any) -> dict[str, str]:
    """What each column of a stream holds, as `find_columns` wants it; "any" where its card does not say."""
    if dataset.features is not None:
        return {field.name: kind(field.type) for field in dataset.features.arrow_schema}
    return dict.fromkeys(next(iter(dataset), {}), "any")


def _raw(dataset: Any) -> Any:
    """The data set with its pictures as {"bytes", "path"}."""
    import datasets

    for name, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset
