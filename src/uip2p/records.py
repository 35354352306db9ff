"""The rows of the project. Caption: what a captioned picture gives. EditRecord: what training takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class EditRecord:
    """One picture and what may be asked of it. There is no edited picture in here, and no field to put one.

    image: a file's path, or the picture itself as uint8 [H, W, 3].
    caption, edited_caption: what is seen before and after the edit (T_in and T_ed in the paper).
    instruction, reverse_instruction: the edit and its reverse (F and R), each readable without the other.
    """

    image: Path | Any
    caption: str
    instruction: str
    edited_caption: str
    reverse_instruction: str


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption of one picture, and what of an edit its source already has. The picture itself stays where it is.

    id: the same in every copy of the data and unique in its source: a file's name, a shard and a key; where a picture
    has several captions, the caption's number follows: "images/1.jpg#2".
    image_id: of the picture, the same for all its captions.
    instruction, edited_caption, reverse_instruction: "" where the source has none.
    """

    id: str
    image_id: str
    caption: str
    instruction: str = ""
    edited_caption: str = ""
    reverse_instruction: str = ""
