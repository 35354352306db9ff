"""A small study of real pictures: three methods on six inputs, and what is made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uip2p.people.create import create
from uip2p.people.sources import Sample, from_folders
from uip2p.people.study import Key, Study, load_key, load_study

METHODS = ("InstructPix2Pix", "UIP2P", "HIVE", "copy-input")


@dataclass(frozen=True)
class Made:
    folder: Path
    key_file: Path
    study: Study
    key: Key


@pytest.fixture(scope="session")
def edits(tmp_path_factory) -> Path:
    """metadata.jsonl, images/, and a folder for each method; each method has its own size, format and colours."""
    root = tmp_path_factory.mktemp("edits")
    rng = np.random.default_rng(0)
    rows = []
    (root / "images").mkdir()
    for method in METHODS:
        (root / method).mkdir()
    for number in range(6):
        source = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((96, 72))
        source.save(root / "images" / f"{number}.png")
        for place, method in enumerate(METHODS):
            ending = ("png", "jpg", "webp", "png")[place]
            edited = source.point(lambda value, place=place: 255 - value if place == 1 else value * (4 - place) // 4)
            exif = Image.Exif()
            exif[0x010E] = method  # a description, as cameras and programs leave them
            edited.resize((48 + 16 * place,) * 2).save(root / method / f"{number}.{ending}", exif=exif)
        instruction = f"make <b>number {number}</b> & \"more\" of it"
        rows.append({"file_name": f"images/{number}.png", "instruction": instruction, "caption": "a thing"})
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture(scope="session")
def samples(edits) -> list[Sample]:
    return from_folders({method: edits / method for method in METHODS}, edits / "metadata.jsonl")


@pytest.fixture(scope="session")
def made(samples, tmp_path_factory) -> Made:
    """Three samples and one check. Do not change it."""
    return make(samples, 3, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def small(samples, tmp_path_factory) -> Made:
    """Two samples and one check, which real browsers are asked. Do not change it."""
    return make(samples, 2, tmp_path_factory.mktemp("small"))


def make(samples, count, root) -> Made:
    create(samples, count, 1, 5, root / "study", root / "key.json")
    study = load_study(root / "study")
    return Made(root / "study", root / "key.json", study, load_key(root / "key.json", study))
