"""The world as data: the same on every machine, no split in another, nothing held out where it must not be."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from uip2p.errors import UserError
from uip2p.scenes import world as world_module
from uip2p.scenes.edits import COMPOSITION_KINDS, HELD_OUT, THING_KINDS, TONE_KINDS, WEIGHTS
from uip2p.scenes.language import place_noun, position
from uip2p.scenes.phrases import PHRASES, phrasings
from uip2p.scenes.render import render
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS
from uip2p.scenes.world import SPLITS, World

PINNED_EDIT = (
    "color",
    "a purple bicycle in the snow beside an orange umbrella",
    "make the colour of the bicycle yellow",
    "a yellow bicycle in the snow beside an orange umbrella",
    "turn the bicycle purple",
)
PINNED_CAPTIONS = [
    "in a meadow, on the left a blue lamp and in the middle a red boat",
    "on a beach, on the right a black bicycle",
]


def pairs(scene):
    return {(thing.kind, thing.color) for thing in scene.things}


def test_pinned_texts():
    """Trained weights and published figures rest on these draws: a change here is a new world."""
    edit = World(0).edit(0)
    assert (edit.kind, edit.caption, edit.instruction, edit.edited_caption, edit.reverse_instruction) == PINNED_EDIT
    assert [World(0, split).captioned_scene(1)[1] for split in ("train", "test")] == PINNED_CAPTIONS


def test_the_same_index_is_the_same_draw():
    for split in SPLITS:
        a, b = World(4, split), World(4, split)
        assert [a.edit(i) for i in range(20)] == [b.edit(i) for i in reversed(range(20))][::-1]
        assert a.scene(7) == b.scene(7) and a.captioned_scene(7) == b.captioned_scene(7)
        assert a.session(3) == b.session(3)


def test_no_two_splits_seeds_or_indices_share_a_scene():
    scenes = [World(seed, split).scene(i) for seed in (0, 1) for split in SPLITS for i in range(200)]
    sources = [World(seed, split).edit(i).source for seed in (0, 1) for split in SPLITS for i in range(200)]
    assert len(set(scenes + sources)) == len(scenes + sources)


def test_scenes_are_as_described():
    scenes = [World(2).scene(i) for i in range(3000)]
    counts = Counter(len(scene.things) for scene in scenes)
    assert abs(counts[1] / 3000 - 0.30) < 0.03 and abs(counts[2] / 3000 - 0.45) < 0.03 and set(counts) == {1, 2, 3}
    assert {scene.place for scene in scenes} == set(PLACES) and {scene.tone for scene in scenes} == {"plain"}
    for scene in scenes:
        ys = [thing.y for thing in scene.things]
        assert ys == sorted(ys) and -1 <= scene.light <= 1 and 0 <= scene.texture <= 999_999
        assert len({t.kind for t in scene.things}) == len({t.slot for t in scene.things}) == len(scene.things)
        for thing in scene.things:
            assert abs(thing.x - SLOTS[thing.slot]) <= 0.03 and 0.92 <= thing.size <= 1.08
            low, high = (0.44, 0.50) if KINDS[thing.kind].flies else (0.80, 0.95)
            assert low <= thing.y <= high
    assert {pair for scene in scenes for pair in pairs(scene)} == {(k, c) for k in KINDS for c in COLORS} - HELD_OUT


def test_held_out_combinations_are_seen_only_in_composition_targets():
    for split in SPLITS:
        world = World(6, split)
        for i in range(3000 if split == "train" else 600):
            edit = world.edit(i)
            assert not pairs(edit.source) & HELD_OUT and not pairs(world.captioned_scene(i)[0]) & HELD_OUT
            if split == "composition":
                assert edit.kind in COMPOSITION_KINDS
                assert len((pairs(edit.target) - pairs(edit.source)) & HELD_OUT) == 1
            else:
                assert not pairs(edit.target) & HELD_OUT
        made = {pair for i in range(400) for edit in world.session(i) for pair in pairs(edit.target)}
        assert bool(made & HELD_OUT) == (split == "composition")


def templates_of(instruction):
    """Every (request, template) that can have made an instruction."""
    wheres, slots, places = map(position, SLOTS), SLOTS, map(place_noun, PLACES)
    thing = f"(({'|'.join(COLORS)}) )?({'|'.join(KINDS)})"
    fillers = {"thing": thing, "new": f"an? ({'|'.join(COLORS)}) ({'|'.join(KINDS)})", "color": "|".join(COLORS),
               "a_color": f"an? ({'|'.join(COLORS)})", "where": "|".join(wheres), "slot": "|".join(slots),
               "place": "|".join(places), "inside": "|".join(PLACES.values())}
    for what, several in PHRASES.items():
        for template in several:
            pattern = re.sub(r"\{(\w+)\}", lambda found: f"({fillers[found[1]]})", template)
            if re.fullmatch(pattern, instruction):
                yield what, template


def test_held_out_phrasings_are_used_by_the_language_split_alone():
    for split in SPLITS:
        for i in range(120):
            edit = World(9, split).edit(i)
            for text in (edit.instruction, edit.reverse_instruction):
                found = list(templates_of(text))
                assert found, text
                assert any(t in phrasings(what, held_out=split == "language") for what, t in found), text


def test_edits_come_by_weight_or_of_the_kind_asked_for():
    counts = Counter(World(3).edit(i).kind for i in range(4000))
    assert all(abs(counts[kind] / 4000 - weight) < 0.025 for kind, weight in WEIGHTS.items())
    assert all(World(3).edit(5, kind).kind == kind for kind in WEIGHTS)
    with pytest.raises(UserError, match="no edits of kind 'paint'"):
        World(3).edit(0, "paint")
    with pytest.raises(UserError, match="composition"):
        World(3, "composition").edit(0, "remove")
    with pytest.raises(UserError, match="unknown split 'dev'"):
        World(3, "dev")


def test_captioned_pictures_are_in_every_tone():
    scenes = [World(11).captioned_scene(i)[0] for i in range(3000)]
    tones = Counter(scene.tone for scene in scenes)
    assert abs(tones["plain"] / 3000 - 0.70) < 0.04 and all(tones[tone] > 80 for tone in tones) and len(tones) == 7
    assert not any(scene.tone == "night" and scene.place == "night hill" for scene in scenes)
    assert 0.02 < sum(not scene.things for scene in scenes) / 3000 < 0.06
    sample = World(11, size=32).captioned(0)
    assert np.array_equal(sample["image"], render(scenes[0], 32)) and isinstance(sample["caption"], str)


def test_a_record_never_draws_its_target(monkeypatch):
    drawn = []
    monkeypatch.setattr(world_module, "render", lambda scene, size: drawn.append(scene) or render(scene, size))
    world = World(1, size=32)
    for i in range(40):
        record, edit = world.record(i), world.edit(i)
        assert np.array_equal(record.image, render(edit.source, 32)) and record.instruction == edit.instruction
    assert drawn == [world.edit(i).source for i in range(40)]


def test_worlds_and_photographs_cannot_reach_answers():
    code = ("import sys, uip2p.scenes.world, uip2p.scenes.photos;"
            "print([m for m in sys.modules if m in ('uip2p.scenes.answers', 'uip2p.scenes.faults')])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_sessions_are_chains():
    for split in ("test", "composition"):
        for i in range(150):
            edits = World(7, split).session(i)
            assert len(edits) == 3 and all(a.target == b.source for a, b in pairwise(edits))
            scenes = [edits[0].source, *(edit.target for edit in edits)]
            assert len(set(scenes)) == 4, "no turn undoes another"
            assert all(edit.kind in THING_KINDS for edit in edits[:2])
            assert edits[2].kind in THING_KINDS or edits[2].kind in TONE_KINDS
