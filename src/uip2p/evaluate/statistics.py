"""How far a mean would move, and whether two editors differ by more than that.

What the intervals cover: other pictures and instructions of the same kind, edited once more with other noise. Each
sample has noise of its own (`rows.noise_seed`), so that the means of samples vary by both, and drawing samples anew
covers both; drawing seeds within samples besides would count the noise twice. What all samples of a seed would have
in common, such as another training run of the same recipe, is not covered: the spread over seeds is given beside."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

EXACT = 12  # clusters: up to here all 2¹² sign flips are tried, beyond it FLIPS random ones
FLIPS = 9999
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval. low, high: None of a single cluster, which says nothing of others. count:
    samples. replicates: seeds. sd: of the mean from seed to seed; None of one seed."""

    mean: float
    low: float | None
    high: float | None
    count: int
    replicates: int
    sd: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of a − b on the same samples, its 95 % interval, and the p-value of a two-sided sign-flip test. low,
    high: None of a single cluster. count: clusters."""

    mean: float
    low: float | None
    high: float | None
    p: float
    count: int

    @property
    def noise(self) -> bool:
        """Whether 0 is a good guess too: it lies in the interval, or p > 0.05. Of five clusters no p is below 1/16,
        and an interval drawn from so few is too narrow to be believed alone."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high or self.p > LEVEL


def estimate(values: np.ndarray, clusters: Sequence[str], seed: int = 0, draws: int = 2000) -> Estimate:
    """values: float [N, S], sample × seed. clusters: N names; samples of one name (turns of a session) are drawn
    together. Every sample weighs the same. The interval: percentiles 2.5 and 97.5 of `draws` bootstrap draws of as
    many clusters as there are. The same samples in another order have the same interval, and two rows of the same
    clusters are drawn alike. ValueError: a value that is not finite, no sample, shapes that do not fit."""
    sums, counts = _clusters(values, clusters)
    seeds = np.sort([math.fsum(column) / len(column) for column in np.transpose(values)])
    return Estimate(
        float(sums.sum() / counts.sum()), *_interval(sums, counts, seed, draws), int(counts.sum()), len(seeds),
        float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
    )  # fmt: skip


def ratio(above: np.ndarray, below: np.ndarray, clusters: Sequence[str], seed: int = 0, draws: int = 2000) -> Estimate:
    """Σ above / Σ below, both float [N, S] ≥ 0: a ratio of sums, which one nearly empty mask cannot swamp as it would
    swamp a mean of ratios. Interval, order and errors as `estimate`; ValueError also where Σ below is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    sums, _ = _clusters(above, clusters)
    sizes, _ = _clusters(below, clusters)
    if above.shape != below.shape or not sizes.sum() > 0:
        raise ValueError("a ratio needs sums of equal shape, and something below the line")
    seeds = np.sort([math.fsum(a) / math.fsum(b) for a, b in zip(above.T, below.T, strict=True)])
    return Estimate(
        float(sums.sum() / sizes.sum()), *_interval(sums, sizes, seed, draws), len(above), len(seeds),
        float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
    )  # fmt: skip


def difference(
    a: np.ndarray, b: np.ndarray, clusters: Sequence[str], seed: int = 0, draws: int = 2000
) -> Difference:
    """Two editors on the same samples: a, b float [N, S] and [N, T], clusters N names. The interval is `estimate`'s,
    of a − b sample by sample. p: how often the mean is as far from 0 when each cluster's difference has its sign
    flipped or not, by chance: all flips of at most EXACT clusters, FLIPS random ones of more. ValueError: as
    `estimate`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or 0 in (*a.shape, *b.shape):
        raise ValueError(f"two editors on the same samples: expected [N, S] and [N, T], got {a.shape} and {b.shape}")
    sums, counts = _clusters((_over_seeds(a) - _over_seeds(b))[:, None], clusters)
    return Difference(
        float(sums.sum() / counts.sum()), *_interval(sums, counts, seed, draws), _sign_flips(sums, seed), len(sums)
    )  # fmt: skip


def said(found: Difference, digits: int = 3) -> str:
    """"−.047 [−.050, −.042]", and ", inside the noise" where it is; with its p where the interval leaves 0 out."""
    text = _number(found.mean, digits)
    if found.low is not None and found.high is not None:
        text += f" [{_number(found.low, digits)}, {_number(found.high, digits)}]"
        if not found.low <= 0 <= found.high and found.noise:
            return f"{text}, inside the noise (p {_number(found.p, 2)})"
    return f"{text}, inside the noise" if found.noise else text


def _number(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """[N, S] → [N], to the last bit the same whatever the order of the seeds."""
    return np.ascontiguousarray(np.sort(values, axis=1)).mean(1)


def _clusters(values: np.ndarray, clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of each cluster's samples (means over seeds) and their number, both [K], in the order of the clusters'
    names. Within a cluster they are added up by size, so that no order of the samples changes the last bit."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or 0 in values.shape or len(values) != len(clusters):
        raise ValueError(f"expected [N, S] and N clusters, got {values.shape} and {len(clusters)}")
    if not np.isfinite(values).all():
        raise ValueError(f"sample {int(np.argwhere(~np.isfinite(values))[0, 0])}: not finite (NaN or infinity)")
    means = _over_seeds(values)
    names, place = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    order = np.lexsort((means, place))
    first = np.searchsorted(place[order], np.arange(len(names)))
    return np.add.reduceat(means[order], first), np.bincount(place).astype(np.float64)


def _interval(sums: np.ndarray, counts: np.ndarray, seed: int, draws: int) -> tuple[float | None, float | None]:
    """scipy draws samples, not clusters: so it is given the clusters, each as its sum and its count, drawn in pairs. A
    draw whose counts sum to nothing has no ratio, and is none."""
    if len(sums) < 2:
        return None, None
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # of such draws: said of an interval we do not use
        drawn = stats.bootstrap(
            (sums, counts), lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis), paired=True, vectorized=True,
            n_resamples=draws, batch=200, method="percentile", rng=np.random.default_rng(seed),
        ).bootstrap_distribution  # fmt: skip
    low, high = np.percentile(drawn[np.isfinite(drawn)], (100 * LEVEL / 2, 100 - 100 * LEVEL / 2))
    return float(low), float(high)


def _sign_flips(sums: np.ndarray, seed: int) -> float:
    """[K] → p. scipy.stats.permutation_test does the same in 5 s for 5,000 clusters, where this takes 0.1."""
    signs = _signs(len(sums), seed)
    flipped = np.concatenate([np.abs(2.0 * (part @ sums) - sums.sum()) for part in np.array_split(signs, 20)])
    size = np.abs(sums).sum()
    extreme = int((flipped >= abs(sums.sum()) - 1e-12 * size).sum())  # ties are ties, whatever was rounded
    return extreme / len(signs) if len(sums) <= EXACT else (1 + extreme) / (1 + len(signs))


@lru_cache(maxsize=2)
def _signs(count: int, seed: int) -> np.ndarray:
    """uint8 [flips, K], 1 where the sign stays. All flips, or FLIPS random ones, for every pair of rows the same."""
    if count <= EXACT:
        return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.uint8)
    drawn = np.random.default_rng(seed).integers(0, 256, (FLIPS, -(-count // 8)), dtype=np.uint8)
    return np.unpackbits(drawn, axis=1, count=count)
