"""`uip2p.json`: what an editing model does when the caller does not say."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.images import write_atomic

SETTINGS_FILE = "uip2p.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults of one model. Where the file does not say, InstructPix2Pix's.

    image_size: side of the square pictures it was trained on. vocabulary: every word it knows, lower case, or None
    for an open one. about: where the weights come from, for a person to read. likely_failed_below: of checked edits
    (see `editing.reversibility`), those of a lower score have likely failed; None where nobody has calibrated it.
    """

    image_size: int = 512
    steps: int = 100
    guidance_scale: float = 7.5
    image_guidance_scale: float = 1.5
    vocabulary: tuple[str, ...] | None = None
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    likely_failed_below: float | None = None


def load_settings(folder: Path, defaults: Settings | None = None) -> Settings:
    """`uip2p.json` of a model folder, over `defaults`. UserError: an unknown key, a value of the wrong kind."""
    path = folder / SETTINGS_FILE
    defaults = defaults or Settings()
    if not path.is_file():
        return defaults
    given = read_json(path)
    known = [field.name for field in dataclasses.fields(Settings)]
    for key in given:
        if key not in known:
            raise UserError(f"{path}: unknown key '{key}'. The keys are {', '.join(known)}: correct or remove it.")

    def check(key: str, good: bool, what: str) -> None:
        if key in given and not good:
            raise UserError(f"{path}: '{key}' is {given[key]!r}, and has to be {what}.")

    for key in ("image_size", "steps"):
        value = given.get(key)
        check(key, type(value) is int and value > 0, "a whole number above 0")
    for key in ("guidance_scale", "image_guidance_scale"):
        value = given.get(key, 0)
        check(key, type(value) in (int, float) and math.isfinite(value) and value >= 0, "a number from 0 up")
    score = given.get("likely_failed_below")
    is_score = type(score) in (int, float) and 0 <= float(score or 0) <= 1
    check("likely_failed_below", score is None or is_score, "null or a number from 0 to 1")
    words = given.get("vocabulary")
    is_words = isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)
    check("vocabulary", words is None or is_words, "null or a list of words")
    check("about", isinstance(given.get("about"), dict), "an object")
    if words is not None:
        given["vocabulary"] = tuple(word.lower() for word in words)
    return dataclasses.replace(defaults, **given)


def save_settings(settings: Settings, folder: str | Path) -> Path:
    """Writes `uip2p.json` into a model folder, whole or not at all."""
    text = json.dumps(dataclasses.asdict(settings), indent=2, ensure_ascii=False)
    return write_atomic(Path(folder) / SETTINGS_FILE, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a model folder, or a UserError with the file's name."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: this file is missing. Copy the model again, or give another.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON ({error}). Copy the model again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, and has to hold a JSON object.")
    return content
