"""A benchmark is one file here: which pictures and instructions, how they are sampled, what is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from uip2p.evaluate.asking import Sampling, Session, Turn
from uip2p.evaluate.editors import Editor, require

if TYPE_CHECKING:
    from uip2p.evaluate.runs import Run

# suite → module with `add_arguments(group)` and `build(args) -> Suite`; args.editors holds the opened editors
SUITES = {
    "magicbrush": "uip2p.evaluate.suites.magicbrush",
    "ip2p": "uip2p.evaluate.suites.ip2p",
    "scenes": "uip2p.evaluate.suites.scenes",
    "photos": "uip2p.evaluate.suites.scenes",
    "ablation": "uip2p.evaluate.suites.ablation",
    "steps": "uip2p.evaluate.suites.steps",
    "vlm": "uip2p.evaluate.suites.vlm",
}


@dataclass(frozen=True)
class Row:
    """A row of the tables: an editor sampled in one way. model: the editor's name, where several rows are of one (a
    curve, steps). x: its place on a curve. baseline: copy-input, round trip, ground truth: nobody's work."""

    name: str
    editor: Editor
    model: str = ""
    x: float | None = None
    baseline: bool = False


def rows_along(
    editors: Sequence[Editor], sampling: Sampling, field: str, values: Sequence[float], said: Callable[[float], str]
) -> list[Row]:
    """A row an editor and value of a field of `Sampling`, all else as `sampling` has it; the value is the row's x.
    said: how the row's name tells the value. UserError: an editor that cannot be told it."""
    for editor in editors:
        require(editor, field)

    def told(value: float) -> Sampling:
        changed: dict[str, Any] = {field: value}
        return replace(sampling, **changed)

    return [
        Row(f"{editor.name}, {said(value)}", editor.sampled(told(value)), editor.name, value)
        for editor in editors
        for value in values
    ]


@dataclass(frozen=True)
class Published:
    """A row of the paper's own table: figures as they stand there. source: which table."""

    name: str
    group: str
    figures: dict[str, float]
    source: str


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Defaults that a benchmark overrides. settings: all that the questions and the ground truth depend on, for JSON;
    with the editor's own description it is the key of every output. sampling: the protocol's. baselines: rows that are
    always there, of "copy-input", "round trip", "ground truth", "ceiling" (the ground truth's round trip). metrics: the
    meter's figures, unless others are asked for. captions: which ones CLIP-T and the direction are told, as the result
    names them."""

    name: str
    settings: dict[str, Any]
    sampling: Sampling = field(default_factory=Sampling)
    baselines: tuple[str, ...] = ("copy-input", "round trip", "ground truth")
    metrics: tuple[str, ...] = ("l1", "l2", "clip_i", "dino", "clip_t", "direction")
    captions: str = ""
    published: Sequence[Published] = field(default=())

    def sessions(self) -> Sequence[Session]:
        """All that is asked, always in the same order."""
        raise NotImplementedError

    def rows(self, editors: Sequence[Editor]) -> list[Row]:
        """The rows that the editors give: here one each, sampled as the protocol says."""
        return [Row(editor.name, editor.sampled(self.sampling), editor.name) for editor in editors]

    def figures(self, turns: Sequence[Turn], outputs: Sequence[Image.Image]) -> list[dict[str, float]]:
        """What this benchmark alone measures, beside the meter's figures: one dict an output."""
        return [{} for _ in turns]

    def measured(self) -> dict[str, Any]:
        """What those figures were computed with, as `Meter.describe` says it of its own."""
        return {}

    def finish(self, run: Run) -> list[Path]:
        """What is written beyond table.md when all is measured: plots, grids. Returns their paths."""
        return []
