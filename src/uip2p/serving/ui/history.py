"""What was made of a picture, as a tree: undo, redo, and another way from any earlier state. Nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Generic, TypeVar

T = TypeVar("T")
NOWHERE: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class State(Generic[T]):
    """number: its name, never given twice. parent: the state that it was made from, None for a first picture."""

    number: int
    parent: int | None
    content: T


@dataclass(frozen=True, slots=True)
class History(Generic[T]):
    """states: oldest first. at: the number of the one that is looked at, None while there is none. onward: where redo
    leads, a state -> its child that was looked at last. made: states so far, also those that were let go."""

    states: tuple[State[T], ...] = ()
    at: int | None = None
    onward: Mapping[int, int] = field(default_factory=lambda: NOWHERE)
    made: int = 0

    def add(self, content: T, parent: int | None = None) -> History[T]:
        """One more state, and there we are. parent: None begins a new tree."""
        if parent is not None:
            self[parent]
        states = (*self.states, State(self.made, parent, content))
        return replace(self, states=states, made=self.made + 1).go(self.made)

    def go(self, number: int) -> History[T]:
        """Looks at that state; redo leads back to it from all before it. KeyError: there is none."""
        path = [state.number for state in self.path(number)]
        onward = {**self.onward, **dict(pairwise(path))}
        return replace(self, at=number, onward=MappingProxyType(onward))

    def undo(self) -> History[T]:
        """To where the current state was made from; the same history where there is nothing before."""
        current = self.current
        return self if current is None or current.parent is None else self.go(current.parent)

    def redo(self) -> History[T]:
        """The way that was gone last; the same history where there is nothing behind."""
        following = None if self.at is None else self.onward.get(self.at)
        return self if following is None else self.go(following)

    @property
    def can_undo(self) -> bool:
        return self.current is not None and self.current.parent is not None

    @property
    def can_redo(self) -> bool:
        return self.at is not None and self.at in self.onward

    @property
    def current(self) -> State[T] | None:
        return None if self.at is None else self[self.at]

    def __getitem__(self, number: int) -> State[T]:
        for state in self.states:
            if state.number == number:
                return state
        raise KeyError(number)

    def __contains__(self, number: object) -> bool:
        return any(state.number == number for state in self.states)

    def path(self, number: int) -> list[State[T]]:
        """From the first picture to that state."""
        path = [self[number]]
        while (parent := path[0].parent) is not None:
            path.insert(0, self[parent])
        return path

    def children(self, number: int | None) -> list[State[T]]:
        """What was made from it, oldest first; of None, the first pictures."""
        return [state for state in self.states if state.parent == number]

    def places(self) -> dict[int, tuple[int, int]]:
        """Where each state stands in a drawing of the tree: number -> (row, column), from 0. A first child goes on in
        its parent's row, every other opens a row below."""
        rows = iter(range(len(self.states)))

        def place(states: list[State[T]], column: int, row: int | None) -> Iterator[tuple[int, tuple[int, int]]]:
            for index, state in enumerate(states):
                mine = row if index == 0 and row is not None else next(rows)
                yield state.number, (mine, column)
                yield from place(self.children(state.number), column + 1, mine)

        return dict(place(self.children(None), 0, None))

    def bounded(self, most: int, most_size: int, size: Callable[[T], int]) -> History[T]:
        """At most so many states, of at most so much size in all: the oldest are let go, never the one that is looked
        at. What was made from a state that went is a first picture from then on."""
        kept = self
        while len(kept.states) > 1 and (
            len(kept.states) > most or sum(size(state.content) for state in kept.states) > most_size
        ):
            kept = kept._without(next(state.number for state in kept.states if state.number != kept.at))
        return kept

    def _without(self, number: int) -> History[T]:
        states = tuple(
            replace(state, parent=None) if state.parent == number else state
            for state in self.states if state.number != number
        )  # fmt: skip
        onward = {before: after for before, after in self.onward.items() if number not in (before, after)}
        return replace(self, states=states, onward=MappingProxyType(onward))
