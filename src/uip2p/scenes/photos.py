"""Photographs, for the edits that have an exact answer on any picture: day to night, black and white, warmer, …

Each photograph that may train is developed once, in one tone, for good: nobody can learn a tone from the same
photograph seen with and without it. Only photographs that came out plain are given to edit; what they should become is
not made here but in `answers`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from PIL import Image, ImageOps

from uip2p.errors import UserError
from uip2p.images import load_image
from uip2p.records import EditRecord
from uip2p.scenes.edits import TONE_KINDS
from uip2p.scenes.language import Wording, draw_photo_wording, photo_caption
from uip2p.scenes.phrases import phrase
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.vocabulary import TONES

SPLITS = ("train", "validation", "test")

# scikit-image's own colour photographs, each in the public domain or CC0, and the split of each
BUNDLED = {"coffee.png": "train", "hubble_deep_field.jpg": "train", "motorcycle_left.png": "train",
           "retina.jpg": "train", "rocket.jpg": "validation", "astronaut.png": "test", "chelsea.png": "test"}

# The licences under which a photograph of a folder may be used, as its metadata.jsonl spells them
LICENCES = ("Attribution License", "Attribution-ShareAlike License", "CC-BY", "CC-BY-SA")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph. name: the file's own name, from which its split and tone follow. tone: how it was developed."""

    name: str
    path: Path
    split: str
    tone: str


@dataclass(frozen=True, slots=True)
class PhotoEdit:
    """An edit of a photograph in words. kind: "time", "style" or "tone". tone: what the picture is to become.
    wording: of both captions."""

    name: str
    kind: str
    tone: str
    caption: str
    instruction: str
    edited_caption: str
    reverse_instruction: str
    wording: Wording


def split_of(name: str) -> str:
    share = random.Random(f"uip2p/photo/{name}/split").random()
    return BUNDLED.get(name) or ("train" if share < 0.7 else "validation" if share < 0.8 else "test")


def tone_of(name: str) -> str:
    rng = random.Random(f"uip2p/photo/{name}/darkroom")
    return "plain" if rng.random() < 0.5 else rng.choice(TONES[1:])


def list_photos(folders: Sequence[str | Path] | None = None) -> list[Photo]:
    """scikit-image's photographs and those of `folders` that may be used, sorted by name.

    A folder has a metadata.jsonl whose rows have file_name and licence; a row under another licence than LICENCES, or
    under none, is passed over, and so is a picture without colour. Raises UserError for a folder without metadata, a
    damaged row, a missing file.
    """
    paths = {name: Path(skimage.__file__).parent / "data" / name for name in BUNDLED}
    for folder in folders or ():
        for path in _free_files(Path(folder)):
            if path.name not in paths and _is_colour(_load(path)):
                paths[path.name] = path
    return [Photo(name, path, split_of(name), tone_of(name)) for name, path in sorted(paths.items())]


def _free_files(folder: Path) -> list[Path]:
    metadata = folder / "metadata.jsonl"
    try:
        lines = metadata.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{metadata}: cannot be read ({error}). A folder of photographs needs it, with a row "
                        "of file_name and licence for each") from error
    files = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else {}
            free = row.get("licence") in LICENCES
            path = folder / row["file_name"] if free else folder
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{metadata}, row {number}: must be a JSON object with file_name and licence") from error
        if free:
            if not path.is_file():
                raise UserError(f"{metadata}, row {number}: there is no file {path}")
            files.append(path)
    return files


@lru_cache(maxsize=256)
def _load(path: Path) -> Image.Image:
    return load_image(path)


def _is_colour(image: Image.Image) -> bool:
    """Whether the channels differ by 2 of 255 or more on average: what is grey already cannot be made so."""
    pixels = np.asarray(image.resize((64, 64))).astype(np.int16)
    return bool((pixels.max(axis=-1) - pixels.min(axis=-1)).mean() >= 2)


class Photos:
    """Square crops of the photographs of one split at `size` pixels, endless, each a pure function of its index."""

    def __init__(self, folders: Sequence[str | Path] | None = None, split: str = "train", seed: int = 0,
                 size: int = 64):
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r} of photographs: choose one of {', '.join(SPLITS)}")
        self.split, self.seed, self.size = split, seed, size
        self.photos = [photo for photo in list_photos(folders) if photo.split == split]
        # Nothing trains on the test split, so there every photograph may be edited.
        self.plain = [photo for photo in self.photos if photo.tone == "plain" or split == "test"]
        if not self.plain:
            raise UserError(f"no photograph of split {split!r} is plain: give a folder with more of them")

    def _rng(self, index: int, purpose: str) -> random.Random:
        return random.Random(f"uip2p/photos/{self.split}/{self.seed}/{index}/{purpose}")

    def _crop(self, rng: random.Random, photo: Photo) -> np.ndarray:
        """A square of at least 60 % of the shorter side, from anywhere, mirrored or not."""
        image = _load(photo.path)
        side = round(rng.uniform(0.6, 1.0) * min(image.size))
        left, top = (rng.randint(0, length - side) for length in image.size)
        square = image.resize((self.size, self.size), Image.Resampling.LANCZOS,
                              box=(left, top, left + side, top + side))
        return np.asarray(ImageOps.mirror(square) if rng.random() < 0.5 else square)

    def captioned(self, index: int) -> dict[str, Any]:
        """{"image": uint8 [size, size, 3] as its photograph was developed, "caption": str}"""
        rng = self._rng(index, "captioned")
        photo = rng.choice(self.photos)
        wording = draw_photo_wording(rng, photo.tone)
        return {"image": apply_tone(self._crop(rng, photo), photo.tone), "caption": photo_caption(photo.tone, wording)}

    def _plain_photo(self, index: int) -> Photo:
        return self._rng(index, "photo").choice(self.plain)

    def picture(self, index: int) -> np.ndarray:
        """The picture that edit `index` is asked of: uint8 [size, size, 3]."""
        return self._crop(self._rng(index, "crop"), self._plain_photo(index))

    def edit(self, index: int) -> PhotoEdit:
        """An edit to a tone, all tones alike, in words."""
        rng = self._rng(index, "edit")
        tone = rng.choice(TONES[1:])
        kind = next(kind for kind, tones in TONE_KINDS.items() if tone in tones)
        wording = draw_photo_wording(rng, tone)
        return PhotoEdit(self._plain_photo(index).name, kind, tone, photo_caption("plain", wording),
                         phrase(rng, f"to {tone}"), photo_caption(tone, wording), phrase(rng, f"from {tone}"),
                         wording)

    def edit_record(self, index: int) -> EditRecord:
        """The edit as a cycle recipe sees it: a photograph as it is, and four texts."""
        edit = self.edit(index)
        return EditRecord(self.picture(index), edit.caption, edit.instruction, edit.edited_caption,
                          edit.reverse_instruction)
