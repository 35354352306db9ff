"""The pictures of a report: an edit, what it was asked, what came of it, and where that differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.runs import Run
from uip2p.images import grid, load_image
from uip2p.pages import data_uri

GAIN = 4  # a difference of a quarter of the range, or more, is the brightest colour
SIDE = 288  # pixels of the longer side in the page
SMALL = 128  # pictures up to this width are kept exact and drawn pixel by pixel

Data = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """One row's output. from_input, from_target: difference maps; None: there is no such picture to differ from, or
    the file is gone."""

    name: str
    output: Image.Image | None
    from_input: Image.Image | None
    from_target: Image.Image | None


@dataclass(frozen=True)
class Example:
    """wanted: |ground truth − input|, what had to change. missing: files that are not there, as row and turn."""

    input: Image.Image | None
    target: Image.Image | None
    wanted: Image.Image | None
    rows: list[Shown]
    missing: list[str]


def open_example(run: Run, example: Data, rows: Sequence[str]) -> Example:
    """All pictures of one example; those that cannot be read are None and named."""
    turn, missing = example["turn"], []

    def opened(path: Path | None, what: str) -> Image.Image | None:
        try:
            return None if path is None else load_image(path)
        except UserError:
            missing.append(f"{what} of {turn}")
            return None

    source, target = opened(run.picture(turn, "source"), "input"), opened(run.picture(turn, "target"), "ground truth")
    shown = []
    for name in rows:
        output = opened(run.output(name, turn, example["seed"]), name)
        shown.append(Shown(name, output, difference_map(output, source), difference_map(output, target)))
    return Example(source, target, difference_map(target, source), shown, missing)


def difference_map(picture: Image.Image | None, other: Image.Image | None) -> Image.Image | None:
    """Mean |picture − other| over the channels × GAIN, in colour, of `other`'s size: the picture is resized to it as
    the metrics resize it (PIL's default). None if either is."""
    if picture is None or other is None:
        return None
    picture = picture if picture.size == other.size else picture.resize(other.size)
    gap = np.abs(np.asarray(picture, np.float64) - np.asarray(other, np.float64)).mean(2)
    return Image.fromarray(colours()[np.minimum(np.rint(gap * GAIN), 255).astype(np.uint8)])


@lru_cache
def colours() -> np.ndarray:
    """uint8 [256, 3]: black, violet, orange, pale yellow; its lightness rises evenly, so that it can be read without
    colour too."""
    from matplotlib import colormaps

    return np.rint(colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def tile(picture: Image.Image) -> Data:
    """A picture for the page: {data, width, height, drawn}. Small ones exactly, larger ones as WebP of SIDE pixels."""
    if picture.width <= SMALL:
        return {"data": data_uri(picture), "width": picture.width, "height": picture.height, "drawn": True}
    small = picture.copy()
    small.thumbnail((SIDE, SIDE))
    return {"data": data_uri(small, "webp"), "width": small.width, "height": small.height, "drawn": False}


def plot(path: Path, width: int = 1400) -> Data | None:
    """A plot of a run's folder for the page; None where it cannot be read."""
    try:
        picture = load_image(path)
    except UserError:
        return None
    picture.thumbnail((width, 3 * width))
    return {"data": data_uri(picture, "webp"), "width": picture.width, "height": picture.height, "drawn": False}


def sheet(examples: Sequence[Example], titles: Sequence[str], width: int = 160) -> Image.Image | None:
    """Two lines an example: input, ground truth and outputs; below them what had to change and what differs from the
    ground truth (from the input, where there is none). None of nothing. The font has letters of ASCII only."""
    if not examples:
        return None
    pictures, labels = [], []
    blank = Image.new("RGB", (width, width), "white")
    for example, title in zip(examples, titles, strict=True):
        above = [(example.input, f"input, {title}"), (example.target, "ground truth")]
        above += [(row.output, row.name) for row in example.rows]
        below: list[tuple[Image.Image | None, str]] = [(None, ""), (example.wanted, f"wanted, x {GAIN}")]
        for row in example.rows:
            against_target = row.from_target is not None
            below.append(
                (row.from_target or row.from_input, f"from {'ground truth' if against_target else 'input'}, x {GAIN}")
            )
        for picture, label in (*above, *below):
            pictures.append(np.asarray(fitted(picture, width) if picture else blank))
            labels.append(label if picture else "")
    return grid(pictures, 2 + len(examples[0].rows), labels)


def fitted(picture: Image.Image, width: int) -> Image.Image:
    """Of that width: small pictures enlarged pixel by pixel, larger ones made small."""
    size = (width, max(1, round(picture.height * width / picture.width)))
    how = Image.Resampling.NEAREST if picture.width <= SMALL else Image.Resampling.LANCZOS
    return picture.resize(size, how)
