"""The oracle against the exact answers, against copies, ghosts and blur, and against answers to another question."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from uip2p.evaluate.alternatives import plain_alternatives
from uip2p.evaluate.cases import photo_cases, scene_cases, session_cases
from uip2p.evaluate.oracle import color_distances, colored, distances, halfway, succeeded
from uip2p.scenes.photos import Photos
from uip2p.scenes.vocabulary import COLORS
from uip2p.scenes.world import World

SIZE = 32


def drawn_cases(split="test", seed=7, count=90, sessions=12, size=SIZE, kind=None):
    """Cases, their exact answers and their alternatives; of one kind only, if that is given."""
    world = World(seed, split, size)
    for case in [*scene_cases(world, count), *session_cases(world, sessions)]:
        if kind not in (None, case.kind):
            continue
        drawn = case.draw()
        yield case, drawn, case.alternatives(drawn)


def mixed(source, target, share):
    return np.rint(source + share * (target.astype(float) - source)).astype(np.uint8)


@pytest.mark.parametrize("split", ["test", "composition", "language"])
def test_only_the_asked_answer_succeeds(split):
    """It does; a copy of the input and everything else that the edit could have come to do not."""
    for case, drawn, others in drawn_cases(split):
        assert succeeded(drawn.target, drawn, others, case.kind), case
        assert not succeeded(drawn.source, drawn, others, case.kind), case
        for picture in others.pictures[1:]:
            assert not succeeded(picture, drawn, others, case.kind), case


def test_a_ghost_of_less_than_half_strength_fails_and_a_strong_one_succeeds():
    """Where the blend passes through a third answer (red to blue through purple, day to night through dark), it has
    to go further than half of the way, and never less."""
    turns = []
    for case, drawn, others in drawn_cases():
        shares = np.linspace(0.4, 1, 13)
        made = [succeeded(mixed(drawn.source, drawn.target, s), drawn, others, case.kind) for s in shares]
        assert not made[0] and made[-2], case
        assert made == sorted(made), case  # once there, it stays
        turns.append(shares[made.index(True)])
    assert 0.5 <= np.median(turns) <= 0.6


def test_right_answers_succeed_through_blur_and_noise():
    """As strong as a small autoencoder's, and stronger."""
    rng = np.random.default_rng(0)
    found = []
    for case, drawn, others in drawn_cases():
        blurred = gaussian_filter(drawn.target.astype(float), (0.8, 0.8, 0)) + rng.normal(0, 6, drawn.target.shape)
        found.append(succeeded(np.clip(blurred, 0, 255).astype(np.uint8), drawn, others, case.kind))
    assert np.mean(found) >= 0.98


def test_half_a_move_is_none():
    """The thing drawn anew but also left where it was, or gone but not drawn: the asked half alone does not count."""
    for case, drawn, others in drawn_cases(kind="move"):
        told_twice = [len(text.split()) > len(case.caption.split()) for text in others.captions]
        both = others.pictures[told_twice.index(True)]
        assert not succeeded(both, drawn, others, "move")
        assert not succeeded(mixed(both, drawn.target, 0.4), drawn, others, "move")
        assert succeeded(mixed(both, drawn.target, 0.6), drawn, others, "move")


def test_two_of_three_turns_are_not_a_session():
    for _, drawn, others in drawn_cases(kind="session"):
        assert len(others.pictures) >= 3
        assert not any(succeeded(picture, drawn, others, "session") for picture in others.pictures[1:])


def test_photographs():
    for case in photo_cases(Photos(None, "test", 0, SIZE), 12):
        drawn = case.draw()
        others = case.alternatives(drawn)
        assert [succeeded(picture, drawn, others, case.kind) for picture in others.pictures] == [True] + [False] * 6


def test_colors_are_told_apart_in_any_light_and_in_blurred_pictures():
    """Every colour on every recoloured thing is named rightly, through noise as strong as a small autoencoder's."""
    rng = np.random.default_rng(0)
    for _, drawn, others in drawn_cases(seed=3, count=54, size=64, kind="color"):
        assert len(others.pictures) == len(COLORS)
        for i, picture in enumerate(others.pictures):
            noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
            assert color_distances(noisy, others.pictures, colored(drawn)).argmin() == i


def test_distances_by_hand():
    pictures = np.zeros((3, 2, 2, 3), np.uint8)
    pictures[1, 0, 0], pictures[2, 0, 1, 2] = 30, 60
    output = np.zeros((2, 2, 3), np.uint8)
    assert distances(output, pictures).tolist() == [0, 90 / 6, 60 / 6]
    output[1] = 255  # where all pictures agree
    assert distances(output, pictures).tolist() == [0, 90 / 6, 60 / 6]


def test_a_tie_is_no_success():
    case, drawn, _ = next(drawn_cases(count=2, sessions=0))
    source, target = np.zeros_like(drawn.source), np.full_like(drawn.source, 200)
    drawn = replace(drawn, source=source, target=target, mask=np.ones(source.shape[:2], bool))
    others = plain_alternatives(drawn, case.edited_caption, case.caption)
    assert not succeeded(np.full_like(source, 100), drawn, others, "add")
    assert succeeded(np.full_like(source, 101), drawn, others, "add")


def test_half_of_the_way_is_the_border():
    _, drawn, _ = next(drawn_cases())
    assert halfway(mixed(drawn.source, drawn.target, 0.6), drawn)
    assert not halfway(mixed(drawn.source, drawn.target, 0.4), drawn)
    assert halfway(drawn.target, drawn) and not halfway(drawn.source, drawn)
