"""The oracle against the exact answers, against copies, and against answers to another question."""

from dataclasses import replace

import numpy as np
import pytest

from uip2p.evaluate.cases import photo_cases, scene_cases, session_cases
from uip2p.evaluate.oracle import closer_to_target, shown_color, succeeded
from uip2p.scenes.photos import Photos
from uip2p.scenes.render import render
from uip2p.scenes.vocabulary import COLORS
from uip2p.scenes.world import World

SIZE = 64


@pytest.mark.parametrize("split", ["test", "composition", "language"])
def test_exact_answers_succeed_and_copies_fail(split):
    for case in [*scene_cases(World(7, split, SIZE), 27), *session_cases(World(7, split, SIZE), 6)]:
        drawn = case.draw()
        assert succeeded(drawn.target, drawn, case.edit), case
        assert not succeeded(drawn.source, drawn, case.edit), case


def test_photographs():
    for case in photo_cases(Photos(None, "test", 0, SIZE), 6):
        drawn = case.draw()
        assert succeeded(drawn.target, drawn) and not succeeded(drawn.source, drawn)


def test_colors_are_told_apart_in_any_light_and_in_blurred_pictures():
    """Every colour on every recoloured thing is named rightly, through noise as strong as a small autoencoder's."""
    rng = np.random.default_rng(0)
    for case in list(scene_cases(World(3, "test", SIZE), 54))[::9]:
        edit, drawn = case.edit, case.draw()
        index = next(i for i, (a, b) in enumerate(zip(edit.source.things, edit.target.things, strict=True)) if a != b)
        for color in COLORS:
            things = list(edit.target.things)
            things[index] = replace(things[index], color=color)
            picture = render(replace(edit.target, things=tuple(things)), SIZE)
            noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
            assert shown_color(noisy, edit, drawn) == color


def test_half_of_the_way_is_the_border():
    drawn = next(scene_cases(World(0, "test", SIZE), 1)).draw()

    def mixed(share):
        return np.rint(drawn.source + share * (drawn.target.astype(float) - drawn.source)).astype(np.uint8)

    assert closer_to_target(mixed(0.6), drawn) and not closer_to_target(mixed(0.4), drawn)


def test_kinds_are_equally_many_and_the_first_cases_stay_the_first():
    world = World(5, "test", SIZE)
    few, many = list(scene_cases(world, 9)), list(scene_cases(world, 27))
    assert [case.name for case in few] == [case.name for case in many][:9]
    assert {kind: sum(case.kind == kind for case in many) for kind in {case.kind for case in many}} == dict.fromkeys(
        ("color", "add", "remove", "move", "replace", "place", "time", "style", "tone"), 3
    )
    photos = list(photo_cases(Photos(None, "test", 0, SIZE), 12))
    assert sorted(sum(case.kind == kind for case in photos) for kind in {c.kind for c in photos}) == [2] * 6


def test_digest_follows_what_is_asked_and_expected():
    case = next(scene_cases(World(0, "test", SIZE), 1))
    drawn = case.draw()
    assert case.digest(drawn) == next(scene_cases(World(0, "test", SIZE), 1)).digest(drawn)
    assert case.digest(drawn) != replace(case, instructions=("do something else",)).digest(drawn)
    assert case.digest(drawn) != case.digest(replace(drawn, target=drawn.source))


def test_sessions_cover_all_turns():
    for case in session_cases(World(2, "test", SIZE), 4):
        drawn = case.draw()
        assert len(case.instructions) == 3
        assert not (drawn.source != drawn.target).any(-1)[~drawn.mask].any()  # nothing changes outside the mask
