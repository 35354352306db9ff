"""Drawing a scene: backdrop, things back to front, light, tone. All integer arithmetic on SVG rasters.

`drawings/<kind>.svg` is a thing standing on y=100 of a viewBox "0 0 W 100"; the one element of class "color"
takes the thing's colour. `places/<place>.svg` is a backdrop, viewBox "0 0 125 100" for a frame 100 wide. Its
groups are painted in order, each by its class:

layer   slides sideways over the spare 25 units, or not (data-shift="no"); each texture brightens and tints it
        by up to the fraction data-vary.
detail  a mark drawn in a box "0 0 10 10" and scattered: data-count="3 7" of them, about data-size="6" high,
        their centres in the area data-area="left top right bottom" of the frame.
"""

from __future__ import annotations

import io
import random
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache, lru_cache
from math import floor
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from uip2p.errors import UserError
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, TONES

_HERE = Path(__file__).parent
_SVG = "{http://www.w3.org/2000/svg}"
ET.register_namespace("", _SVG.strip("{}"))


def render(scene: Scene, size: int = 64) -> np.ndarray:
    """The picture of a scene: uint8 [size, size, 3], a pure function of its arguments.

    The same scene at another size is the same picture, drawn anew rather than resized. Raises UserError for a
    place, kind, colour or tone that the vocabulary lacks.
    """
    _check(scene)
    canvas = _backdrop(scene.place, scene.texture, size)
    canvas = canvas[:, ::-1].copy() if scene.flip else canvas.copy()
    for thing in scene.things:
        _draw(canvas, thing)
    if scene.light:
        canvas = _light(scene.light)[canvas]
    return apply_tone(canvas, scene.tone)


def _check(scene: Scene) -> None:
    for what, name, known in (
        ("place", scene.place, PLACES),
        ("tone", scene.tone, TONES),
        *(("kind", thing.kind, KINDS) for thing in scene.things),
        *(("color", thing.color, COLORS) for thing in scene.things),
    ):
        if name not in known:
            raise UserError(f"no {what} {name!r}; there are: {', '.join(known)}")


def _draw(canvas: np.ndarray, thing: Thing) -> None:
    size = len(canvas)
    height = max(1, _round(KINDS[thing.kind].height * thing.size * size))
    sprite = _thing_sprite(thing.kind, height, thing.flip)
    left, top = _round(thing.x * size - sprite.alpha.shape[1] / 2), _round(thing.y * size) - height
    _paint(canvas, sprite, left, top, COLORS[thing.color])


@dataclass(frozen=True, slots=True)
class Sprite:
    """A raster whose colour is still open: what is seen is black + (white - black) * color, for what the SVG
    renders to with its coloured element black and white is linear in that element's fill."""

    black: np.ndarray  # uint8 [h, w, 3], not premultiplied
    white: np.ndarray  # uint8 [h, w, 3]
    alpha: np.ndarray  # uint8 [h, w, 1]


def _paint(canvas: np.ndarray, sprite: Sprite, left: int, top: int, color: tuple[int, int, int]) -> None:
    """Composites a sprite over canvas (uint8 [H, W, 3], changed in place), clipped at its edges."""
    height, width = sprite.alpha.shape[:2]
    y0, y1 = max(top, 0), min(top + height, canvas.shape[0])
    x0, x1 = max(left, 0), min(left + width, canvas.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    black, white, alpha = (a[part].astype(np.int32) for a in (sprite.black, sprite.white, sprite.alpha))
    ink = black * 255 + (white - black) * np.array(color, dtype=np.int32)
    behind = canvas[y0:y1, x0:x1] * np.int32(255)
    canvas[y0:y1, x0:x1] = (ink * alpha + behind * (255 - alpha) + 32512) // 65025


@lru_cache(maxsize=2048)
def _thing_sprite(kind: str, height: int, flip: bool) -> Sprite:
    return _sprite(_document("drawings", kind), height, flip)


@lru_cache(maxsize=64)  # an edit draws one backdrop twice; textures as such are without number
def _backdrop(place: str, texture: int, size: int) -> np.ndarray:
    rng = random.Random(f"{place} {texture}")
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    for index, group in enumerate(_groups(place)):
        if group.get("class") == "layer":
            _paint_layer(canvas, place, index, group, rng)
        else:
            _scatter(canvas, place, index, group, rng)
    canvas.flags.writeable = False
    return canvas


def _paint_layer(canvas: np.ndarray, place: str, index: int, group: ET.Element, rng: random.Random) -> None:
    size = len(canvas)
    top, rgb, alpha = _layer(place, index, size)
    shift = _round(rng.random() * (rgb.shape[1] - size))
    if group.get("data-shift") == "no":
        shift = (rgb.shape[1] - size) // 2
    vary = float(group.get("data-vary", 0))
    brightness = rng.uniform(-vary, vary)
    gains = [_round(1024 * (1 + brightness + rng.uniform(-vary, vary) / 2)) for _ in range(3)]
    rgb, alpha = rgb[:, shift : shift + size], alpha[:, shift : shift + size]
    tinted = np.minimum(rgb * np.array(gains, dtype=np.int32) >> 10, 255)
    rows = canvas[top : top + len(rgb)]
    rows[:] = (tinted * alpha + rows * (255 - alpha) + 127) // 255


def _scatter(canvas: np.ndarray, place: str, index: int, group: ET.Element, rng: random.Random) -> None:
    size = len(canvas)
    low, high = map(int, group.get("data-count", "1 1").split())
    x0, y0, x1, y1 = (float(v) / 100 for v in group.get("data-area", "0 0 100 100").split())
    for _ in range(rng.randint(low, high)):
        x, y, scale = rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(0.75, 1.25)
        height = max(1, _round(float(group.get("data-size", 5)) / 100 * scale * size))
        mark = _mark(place, index, height, rng.random() < 0.5)
        _paint(canvas, mark, _round(x * size) - height // 2, _round(y * size) - height // 2, (0, 0, 0))


@lru_cache(maxsize=256)
def _layer(place: str, index: int, size: int) -> tuple[int, np.ndarray, np.ndarray]:
    """The rows that a layer has ink on: the first one's y, then int32 rgb [h, w, 3] and alpha [h, w, 1]."""
    pixels = _rasterise(_only(place, index), _round(size * 1.25), size)
    rows = np.flatnonzero(pixels[..., 3].any(axis=1))
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    pixels = pixels[top:bottom].astype(np.int32)
    return top, pixels[..., :3], pixels[..., 3:]


@lru_cache(maxsize=1024)
def _mark(place: str, index: int, height: int, flip: bool) -> Sprite:
    document = _only(place, index)
    document.set("viewBox", "0 0 10 10")
    return _sprite(document, height, flip)


def _only(place: str, index: int) -> ET.Element:
    """A place's document with just one of its groups (and its defs)."""
    document = _document("places", place)
    for number, group in enumerate(document.findall(f"{_SVG}g")):
        if number != index:
            document.remove(group)
    return document


@cache
def _groups(place: str) -> list[ET.Element]:
    return _document("places", place).findall(f"{_SVG}g")


def _document(folder: str, name: str) -> ET.Element:
    return ET.fromstring(_source(folder, name))


@cache
def _source(folder: str, name: str) -> str:
    return (_HERE / folder / f"{name.replace(' ', '_')}.svg").read_text(encoding="utf-8")


def _sprite(document: ET.Element, height: int, flip: bool) -> Sprite:
    width_units, height_units = map(float, document.get("viewBox", "0 0 100 100").split()[2:])
    width = max(1, _round(width_units / height_units * height))
    black, white = (_rasterise(document, width, height, fill) for fill in ("#000", "#fff"))
    if flip:
        black, white = black[:, ::-1], white[:, ::-1]
    return Sprite(black[..., :3], white[..., :3], black[..., 3:])


def _rasterise(document: ET.Element, width: int, height: int, fill: str = "#000") -> np.ndarray:
    """uint8 [height, width, 4], not premultiplied, the element of class "color" filled with `fill`."""
    document.set("width", str(width))
    document.set("height", str(height))
    document.set("preserveAspectRatio", "none")  # whole pixels first; the last fraction of a pixel stretches
    svg, style = ET.tostring(document, encoding="unicode"), f".color {{ fill: {fill} }}"
    png = resvg_py.svg_to_bytes(svg_string=svg, style_sheet=style, skip_system_fonts=True)
    return np.array(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))


@lru_cache(maxsize=1024)
def _light(light: float) -> np.ndarray:
    """What each of the 256 levels becomes when the day is dimmer (-1) or brighter (1)."""
    return np.clip(np.floor(np.arange(256) * (1 + 0.15 * light) + 0.5), 0, 255).astype(np.uint8)


def _round(value: float) -> int:
    return floor(value + 0.5)  # half up: round() would send equal halves to different sides
