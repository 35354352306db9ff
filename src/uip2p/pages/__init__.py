"""What the HTML pages of this project share: one style, pictures inside the page, settings as facts.

A page needs nothing but itself: no request leaves it, and it can be read without a script.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from PIL import Image

from uip2p.instructions.wording import printable


def style() -> str:
    """The common style sheet, light and dark. A page adds its own rules after it."""
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8").strip()


def data_uri(picture: Image.Image, form: str = "png", quality: int = 80) -> str:
    """RGB → data:image/…;base64,… form: "png", which is exact and has no quality, "jpeg" or "webp", which are small."""
    encoded = io.BytesIO()
    picture.save(encoded, form, quality=quality, optimize=True)
    return f"data:image/{form};base64,{base64.b64encode(encoded.getvalue()).decode()}"


def facts(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings of any depth → (name, value) pairs, flat, in their order; what is empty is left out."""
    flat: list[tuple[str, str]] = []

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        for name, value in table.items():
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{name}.")
            elif value not in ("", [], None):
                said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                flat.append((prefix + name, printable(said)))

    walk(settings, "")
    return flat
