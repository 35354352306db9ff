"""Faults on dials: none at 0, certain at 1, and each where it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uip2p.errors import UserError
from uip2p.scenes.answers import answer
from uip2p.scenes.edits import WEIGHTS
from uip2p.scenes.faults import Faults, Triplets, changed_thing, faulty_answer
from uip2p.scenes.render import render
from uip2p.scenes.world import World

WORLD = World(17)


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("source", "target", "mask"))


def test_dial_0_is_the_exact_answer():
    for i, kind in enumerate(WEIGHTS):
        edit = WORLD.edit(i, kind)
        assert same(faulty_answer(edit, Faults(), 64, i), answer(edit, 64))


@pytest.mark.parametrize("faults", [Faults(attribute=1), Faults(scene=1), Faults(global_=1), Faults(1, 1, 1)])
def test_dial_1_is_always_at_fault_and_only_in_the_target(faults):
    for i in range(30):
        edit = WORLD.edit(i, ("color", "add", "replace")[i % 3])
        faulty, exact = faulty_answer(edit, faults, 64, i), answer(edit, 64)
        assert np.array_equal(faulty.source, exact.source) and np.array_equal(faulty.mask, exact.mask)
        assert not np.array_equal(faulty.target, exact.target)
        assert faulty.target.shape == (64, 64, 3) and faulty.target.dtype == np.uint8
        assert same(faulty, faulty_answer(edit, faults, 64, i))


def test_attribute_recolours_another_thing():
    for i in range(60):
        edit = WORLD.edit(i, "color")
        painted = changed_thing(edit)
        others = [thing for thing in edit.target.things if thing != painted and thing.color != painted.color]
        if others:
            target = faulty_answer(edit, Faults(attribute=1), 64, i).target
            options = [replace(edit.target, things=tuple(
                replace(t, color=painted.color) if t == victim else t for t in edit.target.things))
                for victim in others]
            assert any(np.array_equal(target, render(scene, 64)) for scene in options)


def test_attribute_tints_the_surroundings_of_a_thing_alone():
    edit = next(edit for edit in map(WORLD.edit, range(1000)) if edit.kind == "color" and len(edit.source.things) == 1)
    faulty, exact = faulty_answer(edit, Faults(attribute=1), 64, 0), answer(edit, 64)
    thing = (exact.target != render(replace(edit.target, things=()), 64)).any(axis=-1)
    assert np.array_equal(faulty.target[thing], exact.target[thing])
    assert (faulty.target != exact.target).any(axis=-1)[~thing].mean() > 0.9


def test_attribute_is_a_fault_of_edits_with_a_colour_alone():
    for kind in ("remove", "move", "place", "style"):
        edit = WORLD.edit(0, kind)
        assert same(faulty_answer(edit, Faults(attribute=1), 64, 0), answer(edit, 64))


def test_dials_are_probabilities_and_faults_stay_as_a_dial_rises():
    edit = WORLD.edit(0, "add")
    exact = answer(edit, 16)
    at_fault = {dial: {key for key in range(300) if not same(faulty_answer(edit, Faults(scene=dial), 16, key), exact)}
                for dial in (0.3, 0.7)}
    assert abs(len(at_fault[0.3]) / 300 - 0.3) < 0.1 and abs(len(at_fault[0.7]) / 300 - 0.7) < 0.1
    assert at_fault[0.3] < at_fault[0.7]


def test_global_grows_with_its_dial():
    edit = WORLD.edit(0, "remove")
    exact = answer(edit, 64).target.astype(int)

    def change_at(dial):
        faults = Faults(global_=dial)
        return np.mean([abs(faulty_answer(edit, faults, 64, key).target - exact).mean() for key in range(20)])

    change = [change_at(dial) for dial in (0.0, 0.25, 0.5, 1.0)]
    assert change[0] == 0 and change == sorted(change) and change[3] > 2 * change[1] > 0


def test_dials_are_checked():
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="'global' must be from 0 to 1"):
            Faults(global_=wrong)


def test_triplets():
    world = World(3, size=32)
    triplets = Triplets(world)
    row, exact = triplets[4], answer(world.edit(4), 32)
    assert np.array_equal(row["source"], exact.source) and np.array_equal(row["target"], exact.target)
    assert row["instruction"] == world.edit(4).instruction and row["kind"] == world.edit(4).kind
    assert set(row) == {"source", "target", "instruction", "caption", "edited_caption", "kind"}
    assert not np.array_equal(triplets.triplet(4, Faults(global_=1))["target"], row["target"])
