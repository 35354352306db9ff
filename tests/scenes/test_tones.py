import numpy as np
import pytest

from uip2p.errors import UserError
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.vocabulary import TONES

PIXEL = (200, 100, 50)


@pytest.mark.parametrize(
    ("tone", "expected"),
    [
        ("plain", (200, 100, 50)),
        ("black and white", (124, 124, 124)),  # 0.299·200 + 0.587·100 + 0.114·50 = 124.2
        ("sepia", (165, 147, 114)),  # 164.95, 146.8, 114.35
        ("dark", (100, 50, 25)),
        ("bright", (224, 139, 97)),  # 0.85 x + 54, half up
    ],
)
def test_a_known_pixel(tone, expected):
    assert tuple(apply_tone(np.full((1, 1, 3), PIXEL, np.uint8), tone)[0, 0]) == expected


def test_levels_are_rounded_half_up_and_clipped():
    grey = np.repeat(np.array([0, 1, 3, 255], np.uint8)[None, :, None], 3, axis=2)
    assert apply_tone(grey, "dark")[0, :, 0].tolist() == [0, 1, 2, 128]
    assert apply_tone(grey, "sepia")[0, 3].tolist() == [255, 255, 239]
    assert apply_tone(grey, "black and white").tolist() == grey.tolist()


def test_night_is_dark_and_blue_and_dark_is_neutral():
    grey = np.full((4, 4, 3), 160, np.uint8)
    night, dark = apply_tone(grey, "night")[0, 0].astype(int), apply_tone(grey, "dark")[0, 0].astype(int)
    assert night[2] > 1.5 * night[0] and night[:2].max() < dark.max() and len(set(dark)) == 1


@pytest.mark.parametrize("tone", TONES)
def test_every_tone_works_pixel_by_pixel_on_any_size_and_keeps_its_input(tone):
    picture = np.random.default_rng(0).integers(0, 256, (7, 13, 3), dtype=np.uint8)
    before = picture.copy()
    toned = apply_tone(picture, tone)
    assert toned.shape == picture.shape and toned.dtype == np.uint8 and toned is not picture
    assert (picture == before).all()
    assert (apply_tone(picture[2:3, 4:5], tone) == toned[2:3, 4:5]).all()


def test_tones_are_far_apart():
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    looks = [apply_tone(picture, tone).astype(int) for tone in TONES]
    for i, a in enumerate(looks):
        for b in looks[:i]:
            assert abs(a - b).mean() > 15


def test_an_unknown_tone_lists_those_there_are():
    with pytest.raises(UserError, match=r"no tone 'neon'; there are: plain, .*dark"):
        apply_tone(np.zeros((1, 1, 3), np.uint8), "neon")
