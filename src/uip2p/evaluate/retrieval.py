"""What a CLIP knows of the miniature world: does it find captions, and would it recognise a perfect edit?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from uip2p.evaluate.metrics import clip_direction
from uip2p.images import to_tensor
from uip2p.models.clip import Clip
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World


def recall(similarity: Tensor, at: int) -> float:
    """The share of rows of [N, N] whose own column is among the `at` highest."""
    best = similarity.topk(min(at, similarity.shape[1]), dim=1).indices
    return (best == torch.arange(len(similarity), device=similarity.device)[:, None]).any(1).double().mean().item()


@torch.no_grad()
def evaluate_clip(clip: Clip, split: str = "test", seed: int = 0, count: int = 500, edits: int = 48) -> dict[str, Any]:
    """`recall`: R@1 and R@5 among `count` captioned pictures with different captions, in both directions.

    `direction`: for each kind of edit, the mean cos(E(target) − E(source), E(T_ed) − E(T_in)) of `edits` exact answers:
    the score of a perfect editor. A loss encoder cannot teach a kind of edit in which this is near zero.
    """
    world = World(seed, split)
    rows: dict[str, np.ndarray] = {}
    index = 0
    while len(rows) < count:
        row = world.captioned(index)
        rows.setdefault(row["caption"], row["image"])
        index += 1
    images = _embed(clip, list(rows.values()))
    texts = clip.embed_texts(list(rows))
    similarity = images @ texts.T
    found = {
        f"{name} R@{at}": recall(matrix, at)
        for name, matrix in (("picture → caption", similarity), ("caption → picture", similarity.T))
        for at in (1, 5)
    }
    direction = {kind: _direction(clip, world, kind, edits) for kind in world.kinds}
    return {"count": count, "recall": found, "direction": direction}


def _direction(clip: Clip, world: World, kind: str, count: int) -> float:
    drawn = [world.edit(index, kind) for index in range(count)]
    answers = [answer(edit, world.size) for edit in drawn]
    source, target = (_embed(clip, [getattr(a, side) for a in answers]) for side in ("source", "target"))
    before, after = (clip.embed_texts([getattr(e, text) for e in drawn]) for text in ("caption", "edited_caption"))
    return clip_direction(target, source, after, before).mean().item()


def _embed(clip: Clip, pictures: list[np.ndarray], batch: int = 64) -> Tensor:
    parts = (np.stack(pictures[start : start + batch]) for start in range(0, len(pictures), batch))
    return torch.cat([clip.embed_images(to_tensor(part).to(clip.mean.device)) for part in parts])


def as_text(result: dict[str, Any]) -> str:
    """A few lines for a terminal."""
    recalls = "   ".join(f"{name} {value:.3f}" for name, value in result["recall"].items())
    directions = "   ".join(f"{kind} {value:.2f}" for kind, value in result["direction"].items())
    return f"among {result['count']} captions: {recalls}\ndirection of exact answers: {directions}"
