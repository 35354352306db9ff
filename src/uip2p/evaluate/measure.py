"""All figures of one output: pixels and regions, the oracle's word and the judge's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uip2p.evaluate import metrics
from uip2p.evaluate.alternatives import Alternatives, plain_alternatives
from uip2p.evaluate.cases import Case
from uip2p.evaluate.oracle import halfway, succeeded
from uip2p.images import to_tensor
from uip2p.models.clip import Clip
from uip2p.scenes.answers import Answer

# To be raised whenever a figure is added or changes its meaning: rows that were measured otherwise are measured again.
MEASUREMENTS = 2

Pictures = np.ndarray  # uint8 [B, H, W, 3]


@torch.no_grad()
def measure_outputs(
    outputs: Pictures, cases: Sequence[Case], answers: Sequence[Answer], clip: Clip | None
) -> list[dict[str, float]]:
    """uint8 [B, H, W, 3], however they came about -> the figures of each, as scene_tables.py adds them up.

    answers: `case.draw()` of each case. Always: l1, l2 in [0, 1]; inside_sum, wanted_sum, outside_sum and
    outside_pixels, of which ratios of sums are made; success and halfway, the oracle's (0 or 1). With a clip, the
    judge: clip_i, clip_t, direction in [-1, 1], judge_success (0 or 1). To measure several outputs of the same cases,
    prepare them once: `Measure(cases, answers, clip)(outputs)` is the same."""
    return Measure(cases, answers, clip)(outputs)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What the judge makes of the cases. source, target, caption, edited_caption: [B, D], unit length.
    alternatives: of each case, [N, D] of the captions that differ, the asked one first."""

    source: Tensor
    target: Tensor
    caption: Tensor
    edited_caption: Tensor
    alternatives: list[Tensor]


class Measure:
    """Cases ready to be measured against: what does not depend on the output is drawn and embedded once."""

    def __init__(self, cases: Sequence[Case], answers: Sequence[Answer], clip: Clip | None):
        self.cases, self.answers, self.clip = cases, answers, clip
        self.sources, self.targets = np.stack([a.source for a in answers]), np.stack([a.target for a in answers])
        self.masks = torch.from_numpy(np.stack([a.mask for a in answers]))
        self.alternatives = [alternatives_of(case, drawn) for case, drawn in zip(cases, answers, strict=True)]
        self.embeddings = self._embed(clip) if clip else None

    @torch.no_grad()
    def __call__(self, outputs: Pictures) -> list[dict[str, float]]:
        columns = {**self._pixels(outputs), **self._oracle(outputs), **self._judge(outputs)}
        return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(self.cases))]

    def _pixels(self, outputs: Pictures) -> dict[str, Tensor]:
        output, source, target = (to_tensor(p) / 2 + 0.5 for p in (outputs, self.sources, self.targets))
        return {
            "l1": metrics.l1(output, target),
            "l2": metrics.l2(output, target),
            "inside_sum": metrics.absolute_sum(output, target, self.masks),
            "wanted_sum": metrics.absolute_sum(source, target, self.masks),
            "outside_sum": metrics.absolute_sum(output, source, ~self.masks),
            "outside_pixels": (~self.masks).sum((1, 2)),
        }

    def _oracle(self, outputs: Pictures) -> dict[str, Sequence[bool]]:
        together = list(zip(outputs, self.answers, self.alternatives, self.cases, strict=True))
        return {
            "success": [succeeded(output, answer, others, case.kind) for output, answer, others, case in together],
            "halfway": [halfway(output, answer) for output, answer, _, _ in together],
        }

    @torch.no_grad()
    def _embed(self, clip: Clip) -> Embeddings:
        """Every text once: what many cases say alike costs no more than what one says."""
        cases = self.cases
        captions = [list(dict.fromkeys(others.captions)) for others in self.alternatives]
        told = [[case.caption for case in cases], [case.edited_caption for case in cases], *captions]
        texts = list(dict.fromkeys(text for several in told for text in several))
        places, embedded = {text: i for i, text in enumerate(texts)}, clip.embed_texts(texts)
        caption, edited_caption, *alternatives = (embedded[[places[text] for text in several]] for several in told)
        source, target = (self._embed_pictures(clip, pictures) for pictures in (self.sources, self.targets))
        return Embeddings(source, target, caption, edited_caption, alternatives)

    @staticmethod
    def _embed_pictures(clip: Clip, pictures: Pictures) -> Tensor:
        return clip.embed_images(to_tensor(pictures).to(clip.mean.device))

    def _judge(self, outputs: Pictures) -> dict[str, Tensor | list[bool]]:
        if self.clip is None or self.embeddings is None:
            return {}
        known, seen = self.embeddings, self._embed_pictures(self.clip, outputs)
        return {
            "clip_i": metrics.clip_image_similarity(seen, known.target),
            "clip_t": metrics.clip_text_similarity(seen, known.edited_caption),
            "direction": metrics.clip_direction(seen, known.source, known.edited_caption, known.caption),
            "judge_success": [judged(o, others) for o, others in zip(seen, known.alternatives, strict=True)],
        }


def judged(output: Tensor, captions: Tensor) -> bool:
    """Whether cos(E(output), E(caption)) is highest for the first caption, the asked one.

    Unit length [D] and [N, D]. An answer that the captions cannot tell from the asked one is not asked about."""
    similarity = captions @ output
    return bool((similarity[0] > similarity[1:]).all())


def alternatives_of(case: Case, drawn: Answer) -> Alternatives:
    """What the case could have come to; done or not done, for a case of which nothing more is known."""
    if case.alternatives:
        return case.alternatives(drawn)
    return plain_alternatives(drawn, case.edited_caption, case.caption)
