"""What an editor is asked in a benchmark, and what its answer is held against: turns, and sessions of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uip2p.images import load_image

# A picture that may cost something to have: a file, or a function that draws or decodes it anew at every call.
Picture = Path | Callable[[], Image.Image]


@dataclass(frozen=True, slots=True)
class Turn:
    """One edit that is asked for.

    key: where its output goes below a row's folder, without the ending, such as "327/327_iter_2"; unique in its suite.
    source: the picture to edit; None: the editor's own output of the turn before. before: the picture that the whole
    change is measured from, where that is not `source`: in a session its first. target: the ground truth, None where
    nobody knows it. mask: bool [H, W] of the target's size, true where something had to change. caption,
    edited_caption: of `before` and of `target`. groups: the tables in which it counts, such as "single-turn"; none for
    a step on the way. kind: of edit, where the data has kinds. about: what else its row should say, for JSON."""

    key: str
    instruction: str
    source: Picture | None
    before: Picture | None = None
    target: Picture | None = None
    mask: Callable[[], np.ndarray] | None = None
    caption: str = ""
    edited_caption: str = ""
    reverse_instruction: str = ""
    groups: tuple[str, ...] = ("single-turn",)
    kind: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def origin(self) -> Picture:
        """The picture that the change is measured from. ValueError: the turn names none."""
        found = self.before or self.source
        if found is None:
            raise ValueError(f"{self.key}: a turn on the output before needs `before`")
        return found


@dataclass(frozen=True, slots=True)
class Session:
    """Turns in their order, each after the first on a picture of its own or on the output before. The unit that is
    edited by one process: shards share out sessions."""

    name: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of an editor. image: RGB. seed: of this turn alone, whatever else is edited beside it. replicate: the
    run's seed, of which that of the turn was made: names outputs, draws nothing. answer: the ground truth, for the rows
    that show what could be reached at all; no editor looks at it."""

    key: str
    image: Image.Image
    instruction: str
    seed: int
    caption: str = ""
    edited_caption: str = ""
    reverse_instruction: str = ""
    answer: Picture | None = None
    replicate: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """In place of an output: the editor will not answer this one question, however often it is asked. why: in its own
    words."""

    why: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an editor samples; None: as the editor does by itself. size: side in pixels of a square that pictures are
    resized to before the edit (an editor returns the size that it works in); None: the editor decides."""

    steps: int | None = None
    guidance_scale: float | None = None
    image_guidance_scale: float | None = None
    scheduler: str | None = None
    size: int | None = None

    def over(self, other: Sampling) -> Sampling:
        """This, and where it says nothing what `other` says."""
        names = self.__dataclass_fields__
        return replace(other, **{name: value for name in names if (value := getattr(self, name)) is not None})


def open_picture(picture: Picture) -> Image.Image:
    """RGB, upright. UserError: a file that is no picture."""
    return load_image(picture) if isinstance(picture, Path) else picture().convert("RGB")
