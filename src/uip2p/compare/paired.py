"""What a row gains over another one, on the same cases: differences with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uip2p.evaluate.scene_tables import APPENDIX, group

MEANS = ("l1", "l2", "clip_i", "clip_t", "direction", "success", "judge_success")
FIGURES = (*MEANS, "inside", "outside")
RATIOS = {"inside": ("inside_sum", "wanted_sum"), "outside": ("outside_sum", "outside_pixels")}
DRAWS = 2000

Sample = dict[str, Any]
Difference = list[float]  # [difference, low, high]


def compare(row: Sequence[Sequence[Sample]], other: Sequence[Sequence[Sample]]) -> dict[str, Any]:
    """Two rows, each the samples of its training seeds → turns → "all" and "appendix" → figure → row − other, with its
    95 % interval; a figure that some sample does not have is left out."""
    compared: dict[str, Any] = {}
    turns = dict.fromkeys(sample["turns"] for sample in row[0])
    for turn in turns:
        ours, theirs = ([[s for s in samples if s["turns"] == turn] for samples in side] for side in (row, other))
        compared[turn] = {"all": differences(ours, theirs)}
        ours, theirs = ([[s for s in samples if s["kind"] in APPENDIX] for samples in side] for side in (ours, theirs))
        if ours[0]:
            compared[turn]["appendix"] = differences(ours, theirs)
    return compared


def differences(
    row: Sequence[Sequence[Sample]], other: Sequence[Sequence[Sample]], seed: int = 0
) -> dict[str, Difference]:
    """Figure → [row − other, low, high], figures added up as in the tables: means (and the inside error, a ratio of
    sums) within a kind, then over kinds; the outside error over all pixels alike.

    Percentiles 2.5 and 97.5 of DRAWS draws. Each draws cases anew, of every kind as many as there are and the same for
    both rows, and for each row its training seeds anew, both with replacement. Of a single seed the interval says
    what other cases would do and nothing about other seeds; three are few, so take its ends for a little too narrow.
    ValueError: the two were measured on different cases."""
    rng = np.random.default_rng(seed)
    cases = [_cases(side) for side in (row, other)]
    if cases[0] != cases[1]:
        raise ValueError("the two rows were measured on different cases")
    kinds = group(row[0], lambda sample: sample["kind"])
    weights = {kind: _weights(rng, len(kinds[kind])) for kind in sorted(kinds)}
    sides = [_figures(side, weights, _weights(rng, len(side))) for side in (row, other)]
    found = {}
    for name in FIGURES:
        if all(name in side for side in sides):
            drawn = sides[0][name] - sides[1][name]
            low, high = np.percentile(drawn[1:], (2.5, 97.5))
            found[name] = [float(drawn[0]), float(low), float(high)]
    return found


def _cases(side: Sequence[Sequence[Sample]]) -> list[Any]:
    every = [sorted(sample["case"] for sample in samples) for samples in side]
    if any(cases != every[0] for cases in every):
        raise ValueError("the seeds of a row were measured on different cases")
    return every[0]


def _weights(rng: np.random.Generator, count: int) -> np.ndarray:
    """[1 + DRAWS, count]: how much each weighs. First all alike, then by how often it was drawn."""
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS) / count
    return np.concatenate([np.full((1, count), 1 / count), drawn])


def _figures(
    side: Sequence[Sequence[Sample]], weights: Mapping[str, np.ndarray], seeds: np.ndarray
) -> dict[str, np.ndarray]:
    """Figure → [1 + DRAWS]. weights: kind → of its cases; seeds: of the training seeds."""
    sums: dict[str, list[np.ndarray]] = {}
    for kind, of_cases in weights.items():
        own = [sorted((s for s in samples if s["kind"] == kind), key=lambda s: s["case"]) for samples in side]
        for name in {*MEANS, *(part for parts in RATIOS.values() for part in parts)}:
            if all(sample.get(name) is not None for samples in own for sample in samples):
                values = np.array([[sample[name] for sample in samples] for samples in own], dtype=np.float64)
                mean = np.einsum("ds,sc,dc->d", seeds, values, of_cases, optimize=True)
                sums.setdefault(name, []).append(mean * len(own[0]) if name.startswith("outside") else mean)
    whole = {name: np.stack(parts) for name, parts in sums.items() if len(parts) == len(weights)}
    figures = {name: whole[name].mean(0) for name in MEANS if name in whole}
    over, under = RATIOS["inside"]
    if over in whole and (whole[under] > 0).all():
        figures["inside"] = (whole[over] / whole[under]).mean(0)
    over, under = RATIOS["outside"]
    if over in whole and (whole[under].sum(0) > 0).all():
        figures["outside"] = whole[over].sum(0) / whole[under].sum(0)
    return figures
