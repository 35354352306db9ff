"""MagicBrush's edits with their answers, to measure with: targets and masks, which training never opens.

Two layouts. The folder that its test zip unpacks to:

    edit_sessions.json         {id: [{input, mask, output, instruction}, …]}; edit_turns.json: the same turns, a list
    images/<id>/               <id>-input.png, <id>-output1.png, <id>-mask1.png, …
    local_descriptions.json    {id: {<id>-output1.png: caption of what the edit made}}; none of inputs
    global_descriptions.json   {id: {<id>-input.png: caption of the whole picture, <id>-output1.png: …}}

and Parquet, as the Hugging Face hub has its dev split: img_id, turn_index, source_img, mask_img, target_img,
instruction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from uip2p.datasets.jsons import inside, read_json
from uip2p.datasets.magicbrush import SESSIONS, TURNS, read_descriptions
from uip2p.datasets.opening import by_ending, of_split
from uip2p.datasets.parquet import ParquetTable
from uip2p.datasets.parquet import picture as picture_of
from uip2p.errors import UserError
from uip2p.evaluate.asking import Picture, open_picture
from uip2p.evaluate.rows import digest
from uip2p.images import load_image, load_with_alpha

TEXTS = ("img_id", "turn_index", "instruction")
CAPTION_FILES = ("{}_descriptions.json", "{}_captions.json", "{}_description.json")  # MagicBrush's own names for it
# Columns of ImagenHub's Parquet, which is MagicBrush's dev split with captions.
SOURCE_COLUMN, TARGET_COLUMN = "source_global_caption", "target_{}_caption"
WHITE = 250  # of 255, in every channel

Mask = Callable[[], Image.Image]  # L, 255 where something may change
Texts = Mapping[str, Mapping[str, Any]]  # img_id → name of a picture → caption


@dataclass(frozen=True, slots=True)
class Edit:
    """One turn of a session. before, after: names of its pictures in the files of captions, <id>-output1.png."""

    before: str
    after: str
    instruction: str
    source: Picture
    target: Picture
    mask: Mask | None


@dataclass(frozen=True, slots=True)
class Captions:
    """targets: what CLIP-T compares with. sources: of the pictures that edits start from. name: which ones they are, in
    words. where: what errors begin with."""

    targets: Texts
    sources: Texts
    name: str
    where: str

    def of_target(self, img: str, picture: str) -> str:
        """UserError: there is none."""
        text = _caption(self.targets, img, picture)
        if not text:
            raise UserError(f"{self.where}: has no caption of {picture} for image {img}.")
        return text

    def of_source(self, img: str, picture: str) -> str:
        """"": there is none."""
        return _caption(self.sources, img, picture)


@dataclass(frozen=True, slots=True)
class MagicBrushData:
    """sessions: img_id → its edits in their order, never empty. fingerprint: of the instructions, and of the names and
    sizes of all files. where: what errors begin with. captions: kind → captions, if it brings its own."""

    sessions: dict[str, tuple[Edit, ...]]
    layout: str
    fingerprint: str
    where: str
    captions: Callable[[str], Captions]


def read_data(data: Path, split: str = "test") -> MagicBrushData:
    """data: a folder in one of the layouts, which may be in a folder `split` of it, or a Parquet file.
    UserError: there is nothing of the kind, or something is missing or out of order."""
    if not data.exists():
        raise UserError(f"{data}: there is no such file or folder.")
    found = _read(data, split)
    for img in found.sessions:
        if not re.fullmatch(r"\w[\w.-]*", img):
            raise UserError(f"{found.where}: the id {img!r} cannot be the name of a folder.")
    return found


def _read(data: Path, split: str) -> MagicBrushData:
    if data.is_file() and data.suffix == ".parquet":
        return _read_parquet([data])
    for folder in (data / split, data):
        if (folder / SESSIONS).is_file() or (folder / TURNS).is_file():
            if folder == data and split not in ("test", data.resolve().name):
                raise UserError(f"{data}: has no folder {split}. Leave --split away to take what is there.")
            return _read_folder(folder)
    files = by_ending(data)[".parquet"]
    if not files:
        raise UserError(f"{data}: has no {SESSIONS}, no {TURNS}, no Parquet files. Unpack MagicBrush's zip there.")
    return _read_parquet(of_split(files, split, data))


# ---- the folder --------------------------------------------------------------------------------------------------


def _read_folder(root: Path) -> MagicBrushData:
    file = root / SESSIONS if (root / SESSIONS).is_file() else root / TURNS
    turns = _turns(file)
    sessions: dict[str, tuple[Edit, ...]] = {}
    sizes: dict[str, int] = {}
    for img, session in turns.items():
        edits = []
        for turn in session:
            paths = {}
            for what in ("input", "output", "mask"):
                if turn.get(what) is None and what == "mask":
                    continue
                path = inside(root / "images", f"{img}/{turn[what]}", f"{file}, {img}")
                if not path.is_file():
                    raise UserError(f"{path}: is missing; {file.name} names it for image {img}. Unpack the zip again.")
                paths[what], sizes[f"{img}/{turn[what]}"] = path, path.stat().st_size
            mask = partial(_mask, paths["mask"]) if "mask" in paths else None
            names = turn["input"], turn["output"]
            edits.append(Edit(*names, turn["instruction"], paths["input"], paths["output"], mask))
        sessions[img] = tuple(edits)
    fingerprint = digest({"turns": turns, "sizes": sizes})
    return MagicBrushData(sessions, "folder", fingerprint, str(file), partial(read_captions, root))


def _turns(file: Path) -> dict[str, list[dict[str, Any]]]:
    """img_id → its turns, of either file. UserError: it is something else, or turns do not follow each other."""
    found = read_json(file)
    try:
        if isinstance(found, dict):
            sessions = {img: list(turns) for img, turns in found.items()}
        else:
            sessions = {}
            for turn in sorted(found, key=lambda turn: _number(turn["output"])):
                sessions.setdefault(turn["input"].partition("-")[0], []).append(turn)
        for img, turns in sessions.items():
            _check_order(img, turns, file)
    except (TypeError, KeyError, AttributeError):
        raise UserError(f"{file}: must hold turns with input, output and instruction.") from None
    if not sessions:
        raise UserError(f"{file}: holds no turns.")
    return sessions


def _check_order(img: str, turns: Sequence[Mapping[str, Any]], file: Path) -> None:
    """MagicBrush's script pairs the k-th output with the k-th target by number: both orders have to be one."""
    if not turns:
        raise UserError(f"{file}: image {img} has no turns.")
    before, number = f"{img}-input", 0
    for turn in turns:
        if not isinstance(turn["instruction"], str) or not turn["instruction"].strip():
            raise UserError(f"{file}: a turn of image {img} has no instruction.")
        if Path(turn["input"]).stem != before or _number(turn["output"]) <= number:
            raise UserError(
                f"{file}: the turns of image {img} are out of order, or one is missing: "
                f"{turn['input']} → {turn['output']}, where {before} should be edited."
            )
        before, number = Path(turn["output"]).stem, _number(turn["output"])


def _number(name: str) -> int:
    """<id>-output2.png → 2; 0: there is no number."""
    found = re.search(r"-output(\d+)\.\w+$", name)
    return int(found[1]) if found else 0


# ---- Parquet -----------------------------------------------------------------------------------------------------


def _read_parquet(files: Sequence[Path]) -> MagicBrushData:
    table = ParquetTable(files)
    table.check([*TEXTS, "source_img", "target_img"])
    texts = [[value for part in table.column(name) for value in part.to_pylist()] for name in TEXTS]
    rows: dict[str, list[int]] = defaultdict(list)
    for row, img in enumerate(texts[0]):
        rows[str(img)].append(row)
    numbers, instructions = texts[1:]
    sessions: dict[str, tuple[Edit, ...]] = {}
    targets: dict[int, tuple[str, str]] = {}
    for img, mine in rows.items():
        mine.sort(key=lambda row: numbers[row] or 0)
        if [numbers[row] for row in mine] != list(range(1, len(mine) + 1)):
            found = ", ".join(str(numbers[row]) for row in mine)
            raise UserError(f"{table.title}: image {img} has the turns {found}; they have to count from 1.")
        edits = []
        for number, row in enumerate(mine, 1):
            if not (instructions[row] or "").strip():
                raise UserError(f"{table.where(row)}: turn {number} of image {img} has no instruction.")
            before = f"{img}-output{number - 1}.png" if number > 1 else f"{img}-input.png"
            source, target = (partial(_decoded, table, row, name, load_image) for name in ("source_img", "target_img"))
            mask = partial(_decoded, table, row, "mask_img", _mask) if "mask_img" in table.columns else None
            edits.append(Edit(before, f"{img}-output{number}.png", instructions[row], source, target, mask))
            targets[row] = img, edits[-1].after
        sessions[img] = tuple(edits)
    sizes = {name: file.stat().st_size for name, file in zip(table.names, files, strict=True)}
    fingerprint = digest({"turns": texts, "sizes": sizes})
    return MagicBrushData(sessions, "parquet", fingerprint, table.title, partial(_captions_of, table, targets))


def _captions_of(table: ParquetTable, targets: Mapping[int, tuple[str, str]], kind: str) -> Captions:
    """Of the table's own columns. targets: row → img_id and the target's name. UserError: it has none."""
    column = TARGET_COLUMN.format(kind)
    if column not in table.columns:
        raise UserError(
            f"{table.title}: has no captions (a column {column}). MagicBrush keeps them in a file of its own, in the "
            "zips of its test and dev splits. Give it: --captions FILE."
        )
    found: dict[str, defaultdict[str, dict[str, Any]]] = {"sources": defaultdict(dict), "targets": defaultdict(dict)}
    known = [name for name in (SOURCE_COLUMN, column) if name in table.columns]
    for row, (img, after) in targets.items():
        fields, number = table.fields(row, known), _number(after)
        before = f"{img}-output{number - 1}.png" if number > 1 else f"{img}-input.png"
        found["sources"][img][before], found["targets"][img][after] = fields.get(SOURCE_COLUMN), fields[column]
    of_sources = f"; of sources {SOURCE_COLUMN}" if SOURCE_COLUMN in known else ""
    return Captions(found["targets"], found["sources"], column + of_sources, table.title)


def _decoded(table: ParquetTable, row: int, column: str, read: Callable[[Path | bytes], Image.Image]) -> Image.Image:
    found = picture_of(table.fields(row, [column])[column], table.where(row), column)
    try:
        return read(table.folder(row) / found if isinstance(found, str) else found)
    except UserError as error:
        raise UserError(f"{table.where(row)}, {column}: {error}") from None


# ---- masks -------------------------------------------------------------------------------------------------------


def _mask(stored: Path | bytes) -> Image.Image:
    """MagicBrush's masks are pictures in which what may change was erased, so that it is transparent; where nothing is,
    it is what is white. → L, 255 where something may change. UserError: it is no picture."""
    picture, alpha = load_with_alpha(stored)
    if alpha is not None and np.asarray(alpha).min() < 128:
        return ImageOps.invert(alpha)
    return Image.fromarray((np.asarray(picture).min(axis=-1) >= WHITE).astype(np.uint8) * 255)


def changed(masks: Iterable[Mask], target: Picture) -> np.ndarray:
    """What may change from the first of some turns to the last → bool [H, W] of the target's size, which a mask's need
    not be."""
    size = open_picture(target).size
    seen = [np.asarray(mask().resize(size, Image.Resampling.BOX)) > 127 for mask in masks]
    return np.logical_or.reduce(seen)


# ---- captions ----------------------------------------------------------------------------------------------------


def read_captions(where: Path, kind: str) -> Captions:
    """where: one file of captions, or the folder that has the one of this kind, "local" or "global". Those of sources
    are global where the folder has such a file, for the local ones have none of inputs. UserError: there is no file."""
    folder = where if where.is_dir() else where.parent
    file = where if where.is_file() else _caption_file(folder, kind)
    if file is None:
        names = " or ".join(name.format(kind) for name in CAPTION_FILES[:2])
        raise UserError(f"{where}: has no captions: {names}. Give their file with --captions.")
    of_sources = _caption_file(folder, "global") or file
    name = file.name if of_sources == file else f"{file.name}; of sources {of_sources.name}"
    targets, sources = (read_descriptions(path, str(folder)) for path in (file, of_sources))
    return Captions(targets, sources, name, str(file))


def _caption_file(folder: Path, kind: str) -> Path | None:
    return next((folder / name.format(kind) for name in CAPTION_FILES if (folder / name.format(kind)).is_file()), None)


def _caption(found: Texts, img: str, picture: str) -> str:
    texts = found.get(img)
    text = texts.get(picture) if isinstance(texts, Mapping) else None
    return text if isinstance(text, str) else ""
