"""Exact answers: the pictures of both scenes, and a mask of all that differs and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from uip2p.scenes.answers import answer, compare, photo_answer
from uip2p.scenes.edits import THING_KINDS, WEIGHTS
from uip2p.scenes.photos import Photos
from uip2p.scenes.render import render
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.world import World


@pytest.mark.parametrize("kind", WEIGHTS)
def test_answers_are_exact(kind):
    for i in range(40):
        edit = World(13, "test").edit(i, kind)
        drawn = answer(edit, 64)
        assert np.array_equal(drawn.source, render(edit.source, 64))
        assert np.array_equal(drawn.target, render(edit.target, 64))
        assert drawn.mask.dtype == bool and drawn.mask.shape == (64, 64)
        assert (drawn.source[~drawn.mask] == drawn.target[~drawn.mask]).all()
        assert (drawn.source[drawn.mask] != drawn.target[drawn.mask]).any(axis=-1).all()
        assert drawn.mask.sum() >= 20, "an edit that nobody can see"
        if kind in THING_KINDS:
            assert drawn.mask.mean() < 0.6


def test_one_channel_is_enough_to_differ():
    source = np.zeros((2, 2, 3), np.uint8)
    target = source.copy()
    target[0, 1, 2] = 1
    assert compare(source, target).mask.tolist() == [[False, True], [False, False]]


def test_photo_answers_are_the_tone():
    photos = Photos(split="test", seed=3, size=48)
    for i in range(10):
        drawn = photo_answer(photos, i)
        assert np.array_equal(drawn.source, photos.picture(i))
        assert np.array_equal(drawn.target, apply_tone(drawn.source, photos.edit(i).tone))
        assert drawn.mask.mean() > 0.2
