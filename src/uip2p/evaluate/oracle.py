"""Was the edit made? Decided from the known scene alone: no network has a say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from skimage.color import rgb2lab

from uip2p.scenes.answers import Answer
from uip2p.scenes.edits import Edit
from uip2p.scenes.render import render
from uip2p.scenes.vocabulary import COLORS

Picture = np.ndarray  # uint8 [H, W, 3]


def _distance(a: Picture, b: Picture, mask: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b)[mask].sum())


def closer_to_target(output: Picture, answer: Answer) -> bool:
    """Σ|output − target| < ½ Σ|source − target| under the mask: more than half of the way there."""
    return _distance(output, answer.target, answer.mask) < 0.5 * _distance(answer.source, answer.target, answer.mask)


def recolored(edit: Edit) -> int:
    """Which of the scene's things an edit of kind "color" is about."""
    pairs = zip(edit.source.things, edit.target.things, strict=True)
    return next(i for i, (before, after) in enumerate(pairs) if before.color != after.color)


def shown_color(output: Picture, edit: Edit, answer: Answer) -> str:
    """The palette colour that a recoloured thing shows in `output`.

    The thing is drawn once in every colour of the palette under the scene's own light; the answer is the drawing
    whose mean colour over the thing's coloured pixels is nearest to the output's in CIELAB (ΔE*76)."""
    index, size = recolored(edit), answer.source.shape[0]
    change = np.abs(answer.target.astype(int) - answer.source).max(-1) * answer.mask
    colored = change >= 0.5 * change.max()  # the fill itself, without its soft edge

    def mean_lab(picture: Picture) -> np.ndarray:
        return rgb2lab(picture[colored].mean(0)[None, None] / 255)[0, 0]

    def drawn_in(color: str) -> Picture:
        things = list(edit.target.things)
        things[index] = replace(things[index], color=color)
        return render(replace(edit.target, things=tuple(things)), size)

    seen = mean_lab(output)
    return min(COLORS, key=lambda color: float(np.linalg.norm(mean_lab(drawn_in(color)) - seen)))


def succeeded(output: Picture, answer: Answer, edit: Edit | None = None) -> bool:
    """A recoloured thing shows the colour that was asked for; any other edit is more than half of the way there."""
    if edit is not None and edit.kind == "color":
        return shown_color(output, edit, answer) == edit.target.things[recolored(edit)].color
    return closer_to_target(output, answer)
