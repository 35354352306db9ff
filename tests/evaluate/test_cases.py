"""Cases: how many of which kind, and what makes one stale."""

from dataclasses import replace

from uip2p.evaluate.cases import photo_cases, scene_cases, session_cases
from uip2p.scenes.photos import Photos
from uip2p.scenes.world import World

SIZE = 64


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
