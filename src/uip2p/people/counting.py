"""The figures of a study, from answers as numbers: shares, Bradley–Terry strengths, agreement, and their intervals.

Votes are bool [R, N, M]: rater × item × method, true where the rater chose that method's picture, for one question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

from uip2p.errors import UserError

try:
    import krippendorff
except ImportError as error:
    raise UserError(f"the report needs krippendorff ({error}). Install it: pip install 'uip2p[ui]'") from None

PRIOR = 0.1  # wins that every pair of methods is given each way, so that who never lost or won has a finite strength
DRAWS = 2000

Interval = tuple[float, float]


def shares(votes: np.ndarray) -> np.ndarray:
    """Votes bool [..., R, N, M] -> [..., M], each method's part of all votes; they sum to 1, as in the paper."""
    counts = votes.sum((-3, -2))
    return counts / counts.sum(-1, keepdims=True)


def wins(votes: np.ndarray) -> np.ndarray:
    """Votes bool [R, N, M] -> [R, M, M]: how often the rater chose the one and, of the same item, not the other.

    Of two that are both chosen, or both not, neither has won."""
    chosen = votes.astype(np.float64)
    return np.einsum("rni,rnj->rij", chosen, 1 - chosen)


def strengths(wins: np.ndarray) -> np.ndarray:
    """Wins [..., M, M] -> θ [..., M] with mean 0, of the model P(i is chosen over j) = σ(θ_i − θ_j) (Bradley and
    Terry). The maximum of the likelihood after PRIOR wins each way are added to every pair; all leading dimensions at
    once, by Newton's method with steps of at most 1, in which a concave function of this kind cannot be overshot."""
    methods = wins.shape[-1]
    won = wins + PRIOR * (1 - np.eye(methods))
    met = won + won.swapaxes(-1, -2)
    theta = np.zeros(wins.shape[:-1])
    for _ in range(100):
        chosen = expit(theta[..., :, None] - theta[..., None, :])
        slope = (won - met * chosen).sum(-1)
        bend = met * chosen * (1 - chosen)
        # The likelihood is flat along (1, …, 1), where θ has no meaning: 1 / M makes the matrix regular there.
        matrix = np.eye(methods) * bend.sum(-1)[..., None] - bend + 1 / methods
        step = np.linalg.solve(matrix, slope[..., None])[..., 0]
        theta = theta + step / np.maximum(1, np.abs(step).max(-1, keepdims=True))
        if np.abs(step).max() < 1e-9:
            break
    return theta - theta.mean(-1, keepdims=True)


def intervals(raters: int, figures: Callable[[np.ndarray], np.ndarray], seed: int) -> list[Interval] | None:
    """The 95 % bootstrap interval of each figure over raters: what other people would have said of the same edits.

    figures: indices of raters [DRAWS, R], drawn with replacement -> [DRAWS, F]. None with fewer than two raters."""
    if raters < 2:
        return None
    drawn = figures(np.random.default_rng(seed).integers(raters, size=(DRAWS, raters)))
    return [(float(low), float(high)) for low, high in np.percentile(drawn, (2.5, 97.5), axis=0).T]


def agreement(votes: np.ndarray) -> float | None:
    """Krippendorff's α, nominal, of chosen or not chosen: α = 1 − D_o / D_e. Each of the N · M pictures is a unit. D_o
    is the part of the pairs of raters that differ on the same picture; D_e is that part if the same answers were
    paired across all pictures. 1: all alike; 0: as chance would have it. None with fewer than two raters."""
    raters = len(votes)
    if raters < 2:
        return None
    chosen = votes.sum(0).reshape(-1)
    return float(krippendorff.alpha(
        value_counts=np.stack([chosen, raters - chosen], axis=1), level_of_measurement="nominal"
    ))  # fmt: skip


def votes_of(chosen: Sequence[Sequence[Sequence[str]]], methods: Sequence[str]) -> np.ndarray:
    """For each rater and item the methods chosen -> votes bool [R, N, M]."""
    return np.array([[[method in names for method in methods] for names in items] for items in chosen], dtype=bool)
