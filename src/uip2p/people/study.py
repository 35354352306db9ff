"""What a study asks, as it lies on disk: the public half that is served, and the key that stays at home."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uip2p.errors import UserError

QUESTIONS = {  # the paper's two, in the order of its table 2
    "match": "Which two pictures match the instruction best, in what is changed and where?",
    "preserve": "Which two pictures preserve best what the instruction does not mention?",
}
CHOICES = 2  # the best two for each question, as in the paper
STUDY_FORMAT, KEY_FORMAT = "uip2p user study 1", "uip2p user study key 1"
STUDY_FILE, PICTURES, ANSWERS_FILE = "study.json", "pictures", "answers.sqlite"


@dataclass(frozen=True, slots=True)
class Item:
    """One edit that is judged: its pictures by their file names, which say nothing. Attention checks look alike."""

    id: str
    instruction: str
    input: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """study.json. shuffle: what every order is drawn from; it tells neither the seed nor a name."""

    id: str
    shuffle: str
    items: tuple[Item, ...]

    def order(self, rater: str) -> list[Item]:
        """The items in this rater's own order: always the same one, so that a reload goes on where it stopped."""
        items = list(self.items)
        random.Random(f"{self.shuffle} {rater}").shuffle(items)
        return items

    def candidates(self, rater: str, item: Item) -> list[str]:
        """The item's candidates in the order in which this rater sees them."""
        pictures = list(item.candidates)
        random.Random(f"{self.shuffle} {rater} {item.id}").shuffle(pictures)
        return pictures


@dataclass(frozen=True, slots=True)
class Key:
    """The secret half. methods: in the order in which they were given. pictures: candidate → method, without those of
    checks. samples: item → the sample it shows. checks: item → the two pictures that are right, for both questions."""

    study: str
    seed: int
    methods: tuple[str, ...]
    pictures: Mapping[str, str]
    samples: Mapping[str, str]
    checks: Mapping[str, tuple[str, ...]]


def study_json(study: Study) -> bytes:
    return _json({"format": STUDY_FORMAT, "questions": QUESTIONS, "choices": CHOICES, **asdict(study)})


def key_json(key: Key) -> bytes:
    return _json({"format": KEY_FORMAT, **asdict(key)})


def key_path(folder: Path) -> Path:
    """Where the key lies unless it is told: beside the study's folder, not in it, so that the folder can be served."""
    return folder.with_name(f"{folder.name}.key.json")


def load_study(folder: Path) -> Study:
    """UserError: no study, another format, or pictures that are gone (all of them are named)."""
    path = folder / STUDY_FILE
    read = _read(path, STUDY_FORMAT, "Make the study with `uip2p study create`.")
    try:
        items = tuple(
            Item(item["id"], item["instruction"], item["input"], tuple(item["candidates"])) for item in read["items"]
        )
        study = Study(read["id"], read["shuffle"], items)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: is not as it was written ({error}). Make the study again.") from None
    shown = [name for item in items for name in (item.input, *item.candidates)]
    if gone := [name for name in shown if not (folder / PICTURES / name).is_file()]:
        raise UserError(f"{folder / PICTURES}: lacks {', '.join(gone)}. Copy the whole folder.")
    return study


def load_key(path: Path, study: Study) -> Key:
    """UserError: no key, another format, or the key of another study."""
    read = _read(path, KEY_FORMAT, "`uip2p study create` writes it; name it with --key.")
    try:
        key = Key(
            read["study"], read["seed"], tuple(read["methods"]), read["pictures"], read["samples"],
            {item: tuple(right) for item, right in read["checks"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not as it was written ({error}). Find the key of this study.") from None
    if key.study != study.id:
        raise UserError(f"{path}: is the key of study {key.study}, and this is study {study.id}. Name the right one.")
    return key


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _read(path: Path, format: str, hint: str) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file. {hint}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}). {hint}") from None
    if not isinstance(read, dict) or read.get("format") != format:
        raise UserError(f"{path}: is not a {format!r} file. {hint}")
    return read
