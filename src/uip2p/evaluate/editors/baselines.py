"""Rows that are nobody's work, and that an editor's row has to be read with: what doing nothing scores, what passing
through an autoencoder costs, and what the ground truth itself is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling, open_picture
from uip2p.evaluate.editors import Editor, Pictures, RoundTrip

COPY, TRIP, TRUTH, CEILING = "copy-input", "round trip", "ground truth", "ceiling"


def baseline(name: str, editors: Sequence[Editor], autoencoder: Editor | None = None) -> Editor | None:
    """One of the names in `Suite.baselines`. The autoencoder is the given editor's, or else that of the first editor
    that has one; None: nobody has. UserError: the given editor has none. ValueError: no such name."""
    if name == COPY:
        return CopyInput()
    if name == TRUTH:
        return GroundTruth()
    if name not in (TRIP, CEILING):
        raise ValueError(f"there is no baseline {name!r}")
    if autoencoder is not None and autoencoder.round_trip() is None:
        raise UserError(f"{autoencoder.name}: has no autoencoder for the round trip. Give another editor.")
    found = next((editor for editor in [autoencoder, *editors] if editor is not None and editor.round_trip()), None)
    if found is None:
        return None
    return RoundTripped(found) if name == TRIP else Ceiling(found)


class CopyInput:
    """The picture as it was: the best there is at changing nothing."""

    name = COPY
    tunable: frozenset[str] = frozenset()

    def describe(self) -> dict[str, Any]:
        return {"adapter": self.name, "sampling": dict.fromkeys(Sampling.__dataclass_fields__)}

    def edit(self, asks: Sequence[Ask]) -> Pictures:
        return [self._picture(ask) for ask in asks]

    def sampled(self, sampling: Sampling) -> CopyInput:
        return self

    def round_trip(self) -> RoundTrip | None:
        return None

    def _picture(self, ask: Ask) -> Image.Image:
        return ask.image


class GroundTruth(CopyInput):
    """The answer itself. UserError: a question has none."""

    name = TRUTH

    def _picture(self, ask: Ask) -> Image.Image:
        if ask.answer is None:
            raise UserError(f"{ask.key}: has no ground truth: leave the row '{self.name}' out.")
        return open_picture(ask.answer)


class RoundTripped:
    """The picture through an editor's autoencoder, at the size that the editor works in."""

    name, inner = TRIP, CopyInput()

    def __init__(self, editor: Editor):
        self.editor = editor

    @property
    def tunable(self) -> frozenset[str]:
        return self.editor.tunable

    def describe(self) -> dict[str, Any]:
        """Of the editor what its autoencoder hangs on: not how it samples, but for its size."""
        of = self.editor.describe()
        sampling = {**dict.fromkeys(Sampling.__dataclass_fields__), "size": of["sampling"]["size"]}
        model = {name: value for name, value in of.items() if name not in ("sampling", "guided")}
        return {"adapter": self.name, "of": model, "sampling": sampling}

    def edit(self, asks: Sequence[Ask]) -> Pictures:
        trip = self.editor.round_trip()
        if trip is None:
            raise UserError(f"{self.editor.name}: has no autoencoder for the row '{self.name}'.")
        return trip(self.inner.edit(asks))

    def sampled(self, sampling: Sampling) -> RoundTripped:
        return type(self)(self.editor.sampled(sampling))

    def round_trip(self) -> RoundTrip | None:
        return self.editor.round_trip()


class Ceiling(RoundTripped):
    """The ground truth through it: the best that an editor with this autoencoder can reach."""

    name, inner = CEILING, GroundTruth()
