"""From a path or a data set's id to its captions: which of the readers it is for."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from uip2p.datasets.beside import PICTURES, TEXTS, BesideCaptions
from uip2p.datasets.folder import FolderCaptions
from uip2p.datasets.hub import HubStream, hub_table, saved_table
from uip2p.datasets.ip2p import Ip2pCaptions
from uip2p.datasets.magicbrush import OWN_COLUMNS, SESSIONS, TURNS, MagicBrushFolder, MagicBrushTable
from uip2p.datasets.parquet import ParquetTable
from uip2p.datasets.source import CaptionSource
from uip2p.datasets.streaming import CaptionStream, TarStream
from uip2p.datasets.table import Table, TableCaptions
from uip2p.datasets.tar import TarCaptions
from uip2p.errors import UserError

# Layout → the options it takes beside `columns`.
LAYOUTS = {
    "folder": (),                                              # metadata.jsonl or metadata.csv
    "beside": (),                                              # cat.jpg and cat.txt
    "parquet": ("split", "descriptions"),                      # HQ-Edit and MagicBrush too
    "webdataset": ("streaming",),
    "datasets": ("split", "config", "streaming", "descriptions"),  # an id, or what load_dataset reads of a folder
    "saved": ("split", "descriptions"),                        # save_to_disk
    "ip2p": ("split", "first_seed"),
    "magicbrush": ("descriptions",),                           # its folder
}  # fmt: skip


def open_captions(
    where: str | Path,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    streaming: bool = False,
    layout: str | None = None,
    *,
    config: str | None = None,
    first_seed: bool = False,
    descriptions: str | Path | None = None,
) -> CaptionSource | CaptionStream:
    """The captions of `where`: a folder, a file, or the id of a data set on the Hugging Face hub (owner/name or
    owner/name@revision). A CaptionStream with `streaming`, else a CaptionSource.

    columns: field (caption, image, instruction, edited_caption, reverse_instruction) → the name of its column, where
    that is not a usual one. split: of a hub's or a saved data set ("train" if not given), of Parquet files by their
    names (train-….parquet), of InstructPix2Pix's folder (train, val, test). streaming: tar shards are read one after
    the other instead of being listed first, a hub's data set is not downloaded. layout: one of LAYOUTS, found by what
    is there if not given. config: of a hub's data set. first_seed: of InstructPix2Pix's pictures one for each prompt.
    descriptions: MagicBrush's file of captions.

    UserError: there is nothing of the kind, an option that this layout does not have, a column that is not there.
    """
    path = Path(where)
    listed = cache(lambda: by_ending(path))  # walking through millions of files is left until somebody needs it
    layout = layout or find_layout(where, listed)
    if layout not in LAYOUTS:
        raise UserError(f"{where}: there is no layout {layout!r}. There are {', '.join(LAYOUTS)}.")
    given = {"split": split, "streaming": streaming, "config": config, "first_seed": first_seed,
             "descriptions": descriptions}  # fmt: skip
    for option, value in given.items():
        if value and option not in LAYOUTS[layout]:
            takes = ", ".join(("columns", *LAYOUTS[layout]))
            raise UserError(f"{where}: the option {option} is not for the layout {layout!r}, which takes {takes}.")
    asked, captions = dict(columns or {}), Path(descriptions) if descriptions else None
    if layout == "folder":
        return FolderCaptions(path, asked)
    if layout == "beside":
        return BesideCaptions(path, sorted(file for ending in PICTURES + TEXTS for file in listed()[ending]))
    if layout == "ip2p":
        return Ip2pCaptions(path, split, first_seed)
    if layout == "magicbrush":
        return MagicBrushFolder(path, captions)
    if layout == "webdataset":
        files = _some(listed()[".tar"], where, ".tar")
        return TarStream(files, asked) if streaming else TarCaptions(files, asked)
    if layout == "parquet":
        files = of_split(_some(listed()[".parquet"], where, ".parquet"), split, where)
        return _table(ParquetTable(files), asked, captions)
    if layout == "saved":
        return _table(saved_table(path, split), asked, captions)
    if streaming and captions:
        raise UserError(f"{where}: descriptions are for MagicBrush, which is not read as a stream.")
    if streaming:
        return HubStream(str(where), config, split, asked)
    return _table(hub_table(str(where), config, split), asked, captions)


def by_ending(where: Path) -> dict[str, list[Path]]:
    """The file, or the files of a folder and its folders, by name, listed by their endings; hidden ones are not."""
    found: dict[str, list[Path]] = defaultdict(list)
    if where.is_file():
        found[where.suffix.lower()].append(where)
    for folder, folders, files in os.walk(where):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                found[os.path.splitext(name)[1].lower()].append(Path(folder, name))
    return found


def find_layout(where: str | Path, listed: Callable[[], Mapping[str, list[Path]]]) -> str:
    """listed: the files by their endings, see `by_ending`. UserError: nothing that a reader knows."""
    path = Path(where)
    if not path.exists():
        if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", str(where)):
            return "datasets"
        raise UserError(f"{where}: there is no such file or folder, and a data set's id is owner/name.")
    if path.is_file():
        layout = {".jsonl": "folder", ".csv": "folder", ".parquet": "parquet", ".tar": "webdataset"}.get(path.suffix)
        if layout is None:
            raise UserError(f"{where}: captions are read from .jsonl, .csv, .parquet and .tar files, and from folders.")
        return layout
    there = {file.name for file in path.iterdir()}
    for layout, names in (
        ("folder", ("metadata.jsonl", "metadata.csv")),
        ("ip2p", ("seeds.json",)),
        ("magicbrush", (SESSIONS, TURNS)),
        ("saved", ("dataset_dict.json", "state.json")),
    ):
        if not there.isdisjoint(names):
            return layout
    found = listed()
    texts = {file.with_suffix("") for ending in TEXTS for file in found[ending]}
    if any(file.with_suffix("") in texts for ending in PICTURES for file in found[ending]):
        return "beside"
    for layout, ending in (("webdataset", ".tar"), ("parquet", ".parquet")):  # img2dataset lists its tars in Parquet
        if found[ending]:
            return layout
    raise UserError(
        f"{where}: holds no captions in a layout we know: metadata.jsonl or metadata.csv, a text beside each picture "
        "(cat.jpg and cat.txt), .tar or .parquet files, a saved data set, InstructPix2Pix's or MagicBrush's folder."
    )


def _table(table: Table, asked: Mapping[str, str], descriptions: Path | None) -> CaptionSource:
    if OWN_COLUMNS.issubset(table.columns):
        return MagicBrushTable(table, asked, descriptions)
    if descriptions:
        lacks = ", ".join(sorted(OWN_COLUMNS))
        raise UserError(f"{table.title}: descriptions are for MagicBrush, whose columns {lacks} are not there.")
    return TableCaptions(table, asked)


def of_split(files: list[Path], split: str | None, where: Any) -> list[Path]:
    """Those of one split, as hubs name them: train-00000-of-00008.parquet, or a folder train."""
    if split is None:
        return files
    chosen = [file for file in files if split in (file.stem.split("-")[0], file.parent.name)]
    names = ", ".join(file.name for file in files[:5])
    return _some(chosen, where, f"{split}-….parquet", f" There are {names} …")


def _some(files: list[Path], where: Any, what: str, more: str = "") -> list[Path]:
    if not files:
        raise UserError(f"{where}: has no {what} file.{more}")
    return files
