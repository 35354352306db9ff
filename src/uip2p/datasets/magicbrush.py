"""MagicBrush: its Parquet (img_id, turn_index, source_img, instruction, …) and its folder of sessions.

Only first turns are rows: what a later turn starts from is itself an edited picture, which this project does not train
on. Masks and targets are never read. MagicBrush's own Parquet has no captions: they come from global_descriptions.json
({img_id: {"<id>-input.png": caption, "<id>-output1.png": edited caption}}), which has them of whole pictures, or from
local_descriptions.json, where somebody wants those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from uip2p.datasets.columns import Columns
from uip2p.datasets.jsons import inside, read_json
from uip2p.datasets.pictures import Pictures
from uip2p.datasets.table import Table, TableCaptions
from uip2p.errors import UserError

SESSIONS, TURNS, DESCRIPTIONS = "edit_sessions.json", "edit_turns.json", "global_descriptions.json"
OWN_COLUMNS = {"img_id", "turn_index", "source_img"}  # a table with these is MagicBrush's


class MagicBrushTable(TableCaptions):
    """descriptions: a file of captions, needed where the table has no column of them."""

    def __init__(self, table: Table, asked: Mapping[str, str], descriptions: Path | None):
        turns = np.concatenate([column.to_numpy() for column in table.column("turn_index")])
        super().__init__(table, asked, np.flatnonzero(turns == 1), ("image", "instruction"))
        self.skipped["later turn of a session"] = int((turns != 1).sum())
        self.described: dict[str, Any] | None = None
        if not self.columns.caption or descriptions:
            self.described = read_descriptions(descriptions, table.title)
            self.instruction = self.columns.instruction
            self.columns = replace(self.columns, caption="caption", edited_caption="edited_caption")

    def fields(self, picture: int, number: int) -> Mapping[str, Any]:
        if self.described is None:
            return super().fields(picture, number)
        row = self.table.fields(self._row(picture), ["img_id", self.instruction])
        img = str(row["img_id"])
        return _described(self.described, img, f"{img}-input.png", f"{img}-output1.png") | row


class MagicBrushFolder(Pictures):
    """edit_sessions.json or edit_turns.json beside images/<id>/<id>-input.png. UserError: none of them is there, or it
    is something else."""

    columns = Columns(caption="caption", instruction="instruction", edited_caption="edited_caption")

    def __init__(self, root: Path, descriptions: Path | None):
        self.root = root
        self.file = root / SESSIONS if (root / SESSIONS).is_file() else root / TURNS
        found = read_json(self.file)
        try:
            turns = [turn for session in found.values() for turn in session] if isinstance(found, dict) else found
            self.turns = [turn for turn in turns if turn["input"].endswith("-input.png")]
        except (TypeError, KeyError, AttributeError):
            raise UserError(f"{self.file}: must hold turns with input, output and instruction.") from None
        default = root / DESCRIPTIONS
        self.described = read_descriptions(descriptions or (default if default.is_file() else None), str(root))
        super().__init__([1] * len(self.turns), None, str(self.file))
        self.skipped["later turn of a session"] = len(turns) - len(self.turns)

    def name(self, picture: int) -> str:
        return self.turns[picture]["input"]

    def where(self, picture: int, number: int) -> str:
        return f"{self.file}, {self.name(picture)}"

    def fields(self, picture: int, number: int) -> Mapping[str, Any]:
        turn = self.turns[picture]
        img = turn["input"].partition("-")[0]
        return _described(self.described, img, turn["input"], turn.get("output")) | {
            "instruction": turn.get("instruction")
        }

    def picture(self, picture: int) -> Path:
        name = self.name(picture)
        return inside(self.root / "images", f"{name.partition('-')[0]}/{name}", self.where(picture, 0))


def read_descriptions(path: Path | None, where: str) -> dict[str, Any]:
    """UserError: nobody said where the captions are, or they are not there."""
    if path is None:
        raise UserError(
            f"{where}: MagicBrush keeps its captions in a file of their own. Give it: descriptions=…/{DESCRIPTIONS} "
            "(or local_descriptions.json)."
        )
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: must hold an object: img_id → name of a picture → caption.")
    return found


def _described(found: Mapping[str, Any], img: str, before: str, after: Any) -> dict[str, Any]:
    texts = found.get(img)
    texts = texts if isinstance(texts, Mapping) else {}
    return {"caption": texts.get(before), "edited_caption": texts.get(after)}
