"""Endless datasets for the recipes: `dataset[index]` is a dict, a pure function of the index, for any index ≥ 0.

What each may hold is the point. `Captioned` has pictures with captions. `Unpaired` has records, which have no place for
an edited picture. Only `scenes.faults.Triplets`, for the supervised baselines, draws targets; nothing here imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uip2p.learning.randomness import key
from uip2p.records import EditRecord
from uip2p.scenes.photos import Photos
from uip2p.scenes.render import render
from uip2p.scenes.world import World


@dataclass(frozen=True, slots=True)
class DataConfig:
    """seed: of the world; each has its own scenes. size: pixels a side. photos: share of photographs among the drawn
    scenes. photo_folders: imagefolders of photographs beside scikit-image's (rows under CC-BY or CC-BY-SA are used).
    move_negatives: of the wrong captions that CLIP is shown, the share that is wrong only in a position, beyond those
    that come by chance. Without them CLIP learns what is in a picture and not where. validation: share of your own
    records (`--data`) that are held out; which, their file names say. own: the recipe needs such records. corrupt: the
    share of them whose picture may be unreadable before the run stops (see `quarantine`).
    """

    seed: int = 0
    size: int = 64
    photos: float = 0.0
    photo_folders: tuple[Path, ...] = ()
    move_negatives: float = 0.0
    validation: float = 0.0
    own: bool = False
    corrupt: float = 0.01


FAR = 1 << 40  # beyond any index that training asks for


class _Mixture:
    """Drawn scenes, with a share of photographs at fixed pseudo-random indices."""

    def __init__(self, config: DataConfig, split: str):
        self.share = config.photos
        self.world = World(config.seed, split, config.size)
        folders = [folder for folder in config.photo_folders if folder.is_dir()]
        self.photos = Photos(folders, split, config.seed, config.size)

    def is_photo(self, index: int) -> bool:
        return key("photo", index) % 10_000 < 10_000 * self.share


class Captioned(_Mixture):
    """Rows with image and caption. negatives: half of the drawn rows bring the caption of an edit that was not made.
    others: every row brings the picture of another row too, as `other`."""

    def __init__(self, config: DataConfig, split: str, negatives: bool = False, others: bool = False):
        super().__init__(config, split)
        self.negatives, self.move_negatives, self.others = negatives, config.move_negatives, others

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.row(index)
        return row | {"other": self.row(index + FAR)["image"]} if self.others else row

    def row(self, index: int) -> dict[str, Any]:
        if self.is_photo(index):
            return self.photos.captioned(index)
        if self.negatives and index % 2:
            asked = key("move", index) % 10_000 < 10_000 * self.move_negatives
            edit = self.world.edit(index, "move" if asked else None)
            picture = render(edit.source, self.world.size)
            return {"image": picture, "caption": edit.caption, "edited_caption": edit.edited_caption}
        return self.world.captioned(index)


class Unpaired(_Mixture):
    """Rows of an EditRecord: picture, caption, instruction, edited caption, reverse instruction."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.photos.edit_record(index) if self.is_photo(index) else self.world.record(index)
        return as_row(record)


def as_row(record: EditRecord) -> dict[str, Any]:
    """The record's fields as a row, its picture loaded."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
