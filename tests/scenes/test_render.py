import hashlib
import random
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import resvg_py

import uip2p.scenes.render
from uip2p.errors import UserError
from uip2p.scenes.render import _thing_sprite, render
from uip2p.scenes.scene import Scene, Thing
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS, TONES

FOLDER = Path(uip2p.scenes.render.__file__).parent


def any_scene(seed: int) -> Scene:
    rng = random.Random(seed)
    slots = rng.sample(list(SLOTS), rng.randint(1, 3))
    things = []
    for kind, slot in zip(rng.sample(list(KINDS), len(slots)), slots, strict=True):
        color, y = rng.choice(list(COLORS)), 0.4 if KINDS[kind].flies else rng.uniform(0.78, 0.95)
        things.append(Thing(kind, color, slot, SLOTS[slot], y, rng.uniform(0.85, 1.15), rng.random() < 0.5))
    things.sort(key=lambda thing: thing.y)
    place = rng.choice(list(PLACES))
    return Scene(place, tuple(things), rng.uniform(-1, 1), seed, rng.random() < 0.5, rng.choice(TONES))


DOG = Thing("dog", "red", "left", 0.25, 0.9)
CAR = Thing("car", "blue", "right", 0.75, 0.92, flip=True)
KITE = Thing("kite", "yellow", "middle", 0.5, 0.42)
PINNED = {
    Scene("meadow", (DOG, CAR), texture=7): "1c5490694d72ab16b2cd756a6d08be20134439599f84fb9c7284294a9e0e719b",
    Scene(
        "night hill", (KITE, DOG), light=-0.5, texture=1234567, flip=True
    ): "953ddd1f6af4531fd7963aae555ef08b1058f8372d5946ee0ea407b5ebacd2ef",
    Scene(
        "street", (CAR,), light=1.0, texture=-3, tone="sepia"
    ): "f051acd44e75de98b073821eb8900256378d57cafa88377650482fc21ee98e83",
}


@pytest.mark.parametrize("scene", PINNED)
def test_pictures_never_change(scene):
    """A new version of resvg may move an edge by one level: look at the pictures, then pin anew."""
    assert hashlib.sha256(render(scene).tobytes()).hexdigest() == PINNED[scene]


def test_the_same_scene_is_the_same_picture_with_and_without_caches():
    scenes = [any_scene(i) for i in range(20)]
    first = [render(scene) for scene in scenes]
    for cached in (uip2p.scenes.render._backdrop, _thing_sprite, uip2p.scenes.render._layer):
        cached.cache_clear()
    for scene, picture in zip(reversed(scenes), reversed(first), strict=True):
        again = render(scene)
        assert (again == picture).all()
        again[:] = 0  # the caller's own: writing to it leaves the caches alone
        assert (render(scene) == picture).all()


@pytest.mark.parametrize("size", [32, 64, 100, 256])
def test_any_size_is_the_same_picture(size):
    for seed in range(4):
        scene = any_scene(seed)
        picture, small = render(scene, size), render(scene, 32).astype(float)
        assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
        at = (np.arange(32) + 0.5) * size / 32
        sampled = picture[at.astype(int)][:, at.astype(int)].astype(float)
        assert np.corrcoef(sampled.ravel(), small.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_recolouring_changes_that_thing_visibly_and_nothing_else(kind):
    thing = Thing(kind, "red", "middle", 0.5, 0.95)
    scene = Scene("beach", (thing, replace(DOG, x=0.0)), texture=3)
    red = render(scene).astype(int)
    without = render(replace(scene, things=scene.things[1:])).astype(int)
    for color in list(COLORS)[1:]:
        other = render(replace(scene, things=(replace(thing, color=color), scene.things[1]))).astype(int)
        changed = (red != other).any(axis=2)
        covered = (red != without).any(axis=2)
        assert not (changed & ~covered).any()
        assert (abs(red - other).max(axis=2) > 30).sum() >= 0.4 * covered.sum(), color


def test_recolouring_is_exact():
    """Black and white sprites blended are the very picture resvg draws with the colour filled in."""
    document = ET.parse(FOLDER / "drawings/ball.svg").getroot()
    straight = uip2p.scenes.render._rasterise(document, 40, 40, "#8c46b4").astype(int)
    sprite = _thing_sprite("ball", 40, False)
    color = np.array(COLORS["purple"])
    mixed = sprite.black + (sprite.white.astype(int) - sprite.black) * color / 255
    solid = straight[..., 3] == 255
    assert abs(mixed - straight[..., :3])[solid].max() <= 2
    assert (sprite.alpha[..., 0] == straight[..., 3]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_drawing_stands_on_its_box_and_is_mostly_its_colour(kind):
    root = ET.parse(FOLDER / f"drawings/{kind}.svg").getroot()
    x, y, width, height = map(float, root.get("viewBox").split())
    assert (x, y, height) == (0, 0, 100) and 60 <= width <= 160
    colored = [element for element in root.iter() if "color" in element.get("class", "").split()]
    assert len(colored) == 1 and colored[0].get("fill") == "#808080"
    for pixels in (round(KINDS[kind].height * 64), 200):
        sprite = _thing_sprite(kind, pixels, False)
        solid = sprite.alpha[..., 0] >= 128
        tells = (sprite.white.astype(int) - sprite.black).mean(axis=2) > 100
        assert (tells & solid).sum() >= 0.5 * solid.sum()
        rows = np.flatnonzero((sprite.alpha[..., 0] > 40).any(axis=1))
        assert rows[0] <= 0.06 * pixels and rows[-1] >= 0.95 * pixels - 1


def test_the_folders_hold_the_vocabulary():
    assert {path.stem for path in (FOLDER / "drawings").glob("*.svg")} == set(KINDS)
    assert {path.stem.replace("_", " ") for path in (FOLDER / "places").glob("*.svg")} == set(PLACES)
    for path in FOLDER.glob("*/*.svg"):
        assert resvg_py.svg_to_bytes(svg_string=path.read_text(encoding="utf-8"))


def test_a_thing_is_where_it_is_said_to_be():
    empty = render(Scene("desert", ()))
    changed = (render(Scene("desert", (Thing("ball", "blue", "right", 0.75, 0.875),))) != empty).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows[-1] == 55 and abs(len(rows) - 0.3 * 64) <= 1
    assert abs((columns[0] + columns[-1] + 1) / 2 - 48) <= 0.5


def test_flips_mirror_and_edges_clip():
    empty = Scene("lake", (), texture=5)
    assert (render(replace(empty, flip=True)) == render(empty)[:, ::-1]).all()
    car = Thing("car", "red", "middle", 0.5, 0.9)
    assert (_thing_sprite("car", 20, True).alpha == _thing_sprite("car", 20, False).alpha[:, ::-1]).all()
    for x, y in ((0.0, 0.9), (1.0, 0.9), (0.5, 0.05), (0.5, 1.2)):
        assert (render(replace(empty, things=(replace(car, x=x, y=y),))) != render(empty)).any()
    for x, y in ((-1.0, 0.9), (2.0, 0.9), (0.5, -0.1), (0.5, 2.0)):
        assert (render(replace(empty, things=(replace(car, x=x, y=y),))) == render(empty)).all()


@pytest.mark.parametrize("place", PLACES)
def test_textures_differ_a_little_and_light_dims(place):
    pictures = [render(Scene(place, (), texture=t)).astype(int) for t in range(6)]
    for i, a in enumerate(pictures):
        for b in pictures[:i]:
            assert 0.5 < abs(a - b).mean() < 40
    dim, bright = (render(Scene(place, (), light=light)).mean() for light in (-1, 1))
    assert dim < 0.9 * pictures[0].mean() and bright > 1.02 * pictures[0].mean()


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene("moon", ()), "no place 'moon'; there are: living room, .*night hill"),
        (Scene("lake", (), tone="neon"), "no tone 'neon'; there are: plain, .*dark"),
        (Scene("lake", (replace(DOG, kind="cow"),)), "no kind 'cow'; there are: dog, .*snowman"),
        (Scene("lake", (replace(DOG, color="teal"),)), "no color 'teal'; there are: red, .*black"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(scene, message):
    with pytest.raises(UserError, match=message):
        render(scene)


@pytest.mark.slow
def test_speed():
    scenes = [any_scene(i) for i in range(10_000, 10_600)]
    start = time.process_time()
    for scene in scenes:
        render(scene)
    assert len(scenes) / (time.process_time() - start) >= 200
