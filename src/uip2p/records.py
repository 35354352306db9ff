"""EditRecord: the one row type. Every source of data ends in it, every objective of the method starts from it."""

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
