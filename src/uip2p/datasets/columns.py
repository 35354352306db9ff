"""Which column of a data set is what, by its usual names or by what the user says, and how its fields become a Caption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from uip2p.errors import UserError
from uip2p.records import Caption

# Field → the names that columns have in the wild, the likeliest first; upper and lower case are alike.
USUAL = {
    "caption": (
        "caption", "captions", "text", "txt", "input_caption", "original_caption", "source_caption",
        "source_global_caption",    # MagicBrush with captions, in ImagenHub
        "original_prompt",          # InstructPix2Pix on the hub
        "prompt", "alt", "alt_text", "description", "sentence", "sentences",
        "input",                    # HQ-Edit; InstructPix2Pix's own prompt.json
    ),
    "image": (
        "image", "jpg", "jpeg", "png", "webp", "picture", "img", "file_name", "input_image", "original_image",
        "source_img", "source_image", "image_path",
    ),
    "instruction": ("instruction", "edit_instruction", "edit_prompt", "edit"),
    "edited_caption": (
        "edited_caption", "output_caption", "target_caption", "target_global_caption", "edited_prompt", "output",
    ),
    "reverse_instruction": ("reverse_instruction", "inverse_instruction", "inverse_edit"),
}  # fmt: skip

# What a column may hold, for each field: one text, a list of texts, a picture (or, as text, its path); "any" where
# nobody can say before reading.
HOLDS = {"caption": ("text", "texts", "any"), "image": ("picture", "text", "any")}


@dataclass(frozen=True, slots=True)
class Columns:
    """The name of each field's column; "" where the source has none."""

    caption: str
    image: str = ""
    instruction: str = ""
    edited_caption: str = ""
    reverse_instruction: str = ""

    @property
    def texts(self) -> list[str]:
        return [name for name in (getattr(self, field.name) for field in fields(self) if field.name != "image") if name]


def find_columns(
    there: Mapping[str, str], asked: Mapping[str, str], where: str, required: tuple[str, ...] = ("caption", "image")
) -> Columns:
    """there: the columns and what each holds: "text", "texts", "picture", "any", or else its type in words.
    asked: field → column, as the user says. UserError, beginning with `where`: a field nobody knows, a column that is
    not there or holds something else, a required field that has none of its usual names. It lists the columns there."""
    for field in asked:
        if field not in USUAL:
            raise UserError(f"{where}: columns has no field {field!r}. There are {', '.join(USUAL)}.")
    listed = ", ".join(there) or "none"
    found: dict[str, str] = {}
    for field, usual in USUAL.items():
        holds = HOLDS.get(field, ("text", "any"))
        lower = {name.lower(): name for name in reversed(list(there))}
        name = asked.get(field) or next((lower[name] for name in usual if name in lower), "")
        needed = field in asked or field in required
        if name and name not in there:
            raise UserError(f"{where}: has no column {name!r}; there are {listed}.")
        if needed and not name:
            raise UserError(
                f"{where}: no column is called as a{'n' if field[0] in 'aei' else ''} {field} usually is "
                f"({', '.join(usual[:4])} …); there are {listed}. Name it with columns: {field}=NAME."
            )
        if name and there[name] not in holds:
            if needed:
                what = "a picture" if field == "image" else "text"
                raise UserError(f"{where}: the column {name!r} holds {there[name]}, and {field} must be {what}.")
            name = ""  # an "output" that is no text is not what we mean by it
        found[field] = name
    return Columns(**found)


def to_caption(row: Mapping[str, Any], columns: Columns, image_id: str, number: str, where: str) -> Caption:
    """row: the fields by their columns' names. number: "", or "#2" for the second caption of its picture. Texts are
    kept as they are but for white space around them. UserError, beginning with `where`: there is no caption, or a field
    is no text."""
    if row.get(columns.caption) is None:
        raise UserError(f"{where}: the field {columns.caption!r} is missing: the picture has no caption.")
    texts = {}
    for field in ("caption", "instruction", "edited_caption", "reverse_instruction"):
        column = getattr(columns, field)
        value = row.get(column) if column else None
        texts[field] = "" if value is None else _text(value, column, where)
    if not texts["caption"]:
        raise UserError(f"{where}: the field {columns.caption!r} must be text that is not empty: there is no caption.")
    return Caption(image_id + number, image_id, **texts)


def captions_of(value: Any) -> list[Any]:
    """What a caption column holds for one picture, as a list of one or more: a picture without any has a missing one,
    so that somebody asks for it and is told."""
    return value if isinstance(value, list) and value else [None if value == [] else value]


def _text(value: Any, column: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where}: the field {column!r} must be text, got {repr(value)[:60]}.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a pair, which JSON can spell and no file can hold
            raise UserError(f"{where}: the field {column!r} is not valid Unicode text.") from None
    return value.strip()
