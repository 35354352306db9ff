"""The tree of what was made of a picture."""

from __future__ import annotations

import random

import pytest

from uip2p.serving.ui.history import History


def edited() -> History[str]:
    """a → b → c, and back at b."""
    return History().add("a").add("b", 0).add("c", 1).undo()


def contents(history: History[str]) -> str:
    return "".join(state.content for state in history.states)


def test_undo_and_redo_go_along_the_way_that_was_gone():
    history = edited()
    assert (history.at, history.can_undo, history.can_redo) == (1, True, True)
    assert history.redo().at == 2
    first = history.undo()
    assert (first.at, first.can_undo, first.undo()) == (0, False, first)
    last = first.redo().redo()
    assert (last.at, last.can_redo, last.redo()) == (2, False, last)
    empty = History()
    assert (empty.undo(), empty.redo(), empty.current) == (empty, empty, None)


def test_another_way_from_an_earlier_state_loses_nothing():
    branched = edited().add("d", 1)
    assert contents(branched) == "abcd" and [state.number for state in branched.children(1)] == [2, 3]
    assert branched.undo().redo().at == 3  # the way that was gone last
    back = branched.go(2)
    assert back.undo().redo().at == 2
    assert [state.content for state in back.path(3)] == ["a", "b", "d"]


def test_it_is_frozen():
    before = edited()
    kept = contents(before), before.at, dict(before.onward)
    before.add("x", 0).go(1).bounded(1, 1, len)
    assert (contents(before), before.at, dict(before.onward)) == kept
    with pytest.raises(TypeError):
        before.onward[0] = 2


def test_a_state_that_is_not_there():
    for number in (-1, 3, 99):
        with pytest.raises(KeyError):
            edited().go(number)
        with pytest.raises(KeyError):
            edited().add("x", number)


def test_a_drawing_of_the_tree_has_a_row_for_each_way():
    history = edited().add("d", 1).add("e", 0).add("f").add("g", 3)
    assert history.places() == {0: (0, 0), 1: (0, 1), 2: (0, 2), 3: (1, 2), 6: (1, 3), 4: (2, 1), 5: (3, 0)}


def test_the_oldest_are_let_go_and_never_the_one_that_is_looked_at():
    history = History().add("aaaa").add("bb", 0).add("c", 1).add("d", 1)
    few = history.bounded(2, 100, len)
    assert contents(few) == "cd" and [state.parent for state in few.states] == [None, None]
    assert contents(history.go(0).bounded(2, 100, len)) == "aaaad"
    assert contents(history.bounded(9, 4, len)) == "bbcd"
    assert contents(history.go(0).bounded(9, 1, len)) == "aaaa"  # too large alone, and still looked at
    assert few.add("e", 3).at == 4  # no number is given twice


def test_whatever_is_done_it_stays_a_tree():
    for seed in range(200):
        rng, history = random.Random(seed), History()
        for turn in range(30):
            numbers = [state.number for state in history.states]
            does = rng.choice(("add", "add", "undo", "redo", "go", "bound"))
            if does == "add" or not numbers:
                history = history.add(turn, rng.choice([*numbers, None]))
            elif does == "go":
                history = history.go(rng.choice(numbers))
            elif does == "bound":
                history = history.bounded(rng.randint(1, 8), rng.randint(1, 60), lambda size: size % 7)
            else:
                history = getattr(history, does)()
            numbers = [state.number for state in history.states]
            assert history.at in numbers and numbers == sorted(set(numbers))
            assert all(state.parent is None or state.parent in numbers for state in history.states)
            places = history.places()
            assert set(places) == set(numbers) and len(set(places.values())) == len(numbers)
            if history.can_redo:
                assert history.redo().undo() == history or history.redo().current.parent == history.at
