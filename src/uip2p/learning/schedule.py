"""The learning rate as a pure function of the step: nothing to save, nothing to get out of step."""

from __future__ import annotations

import math


def fraction(
    step: int, steps: int, warmup_steps: int = 0, schedule: str = "constant", final_fraction: float = 0.0
) -> float:
    """What part of the learning rate step number `step` (from 0) uses.

    Rises in a line over the warm-up, so that even the first step moves, then stays ("constant") or falls along half
    a cosine to `final_fraction` at the last step ("cosine").
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, steps - 1 - warmup_steps)
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
