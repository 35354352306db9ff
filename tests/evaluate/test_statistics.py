"""Intervals and tests against what is known of them: simulated data whose truth is given, and cases done by hand."""

import time

import numpy as np
import pytest

from uip2p.evaluate.statistics import FLIPS, Difference, difference, estimate, ratio, said


def names(count, size=1):
    """`count` samples in clusters of `size`."""
    return [f"s{i // size:05d}" for i in range(count)]


def test_by_hand():
    """Sessions a (turns 1, 2) and b (turn 6): a draw is aa, ab, ba or bb, of mean 1.5, 3, 3 or 6."""
    found = estimate(np.array([[1.0], [2.0], [6.0]]), ["a", "a", "b"])
    assert (found.mean, found.low, found.high) == (3.0, 1.5, 6.0)
    assert (found.count, found.replicates, found.sd) == (3, 1, None)


def test_seeds_are_replicates():
    found = estimate(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]), names(2))
    assert (found.mean, found.low, found.high, found.count, found.replicates) == (3.0, 2.0, 4.0, 2, 3)
    assert found.sd == pytest.approx(1.0)


def test_one_cluster_says_nothing_of_others():
    found = estimate(np.array([[1.0], [2.0]]), ["a", "a"])
    assert (found.mean, found.low, found.high) == (1.5, None, None)
    apart = difference(np.array([[1.0], [2.0]]), np.zeros((2, 1)), ["a", "a"])
    assert apart.p == 1 and apart.noise and said(apart) == "1.500, inside the noise"


@pytest.mark.parametrize(("size", "seeds"), [
    pytest.param(1, 1, marks=pytest.mark.slow), (4, 1), pytest.param(1, 3, marks=pytest.mark.slow),
])  # fmt: skip
def test_it_covers_the_truth_as_often_as_it_says(size, seeds):
    """Samples, what turns of a session have in common, and noise of each seed: 95 % of 200 intervals, within 3 σ."""
    rng, hits = np.random.default_rng(size + 10 * seeds), 0
    for trial in range(200):
        of_session = np.repeat(rng.normal(size=(60 // size, 1)), size, axis=0)
        values = 0.3 + of_session + rng.normal(size=(60, 1)) + 2 * rng.normal(size=(60, seeds))
        found = estimate(values, names(60, size), seed=trial, draws=500)
        hits += found.low <= 0.3 <= found.high
    assert 175 <= hits <= 199  # 190 expected, a little fewer of 15 clusters


def test_the_width_is_that_of_the_normal_law():
    """σ² = 1 of samples, 4 of noise over 4 seeds: the mean of 400 has deviation √(2/400)."""
    rng = np.random.default_rng(0)
    found = estimate(rng.normal(size=(400, 1)) + 2 * rng.normal(size=(400, 4)), names(400))
    assert found.high - found.low == pytest.approx(2 * 1.96 * (2 / 400) ** 0.5, rel=0.12)


def test_clusters_that_agree_within_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=(50, 1)), 4, axis=0)
    together, apart = estimate(values, names(200, 4)), estimate(values, names(200))
    assert together.mean == pytest.approx(apart.mean)
    assert together.high - together.low == pytest.approx(2 * (apart.high - apart.low), rel=0.15)


def test_no_order_changes_a_bit():
    rng = np.random.default_rng(0)
    a, b, clusters = rng.random((90, 3)), rng.random((90, 3)), np.array(names(90, 3))
    for _ in range(5):
        order, seeds = rng.permutation(90), rng.permutation(3)
        assert estimate(a[order][:, seeds], clusters[order]) == estimate(a, clusters)
        assert difference(a[order], b[order][:, seeds], clusters[order]) == difference(a, b, clusters)


def test_identical_rows_differ_by_nothing():
    values = np.random.default_rng(0).random((40, 2))
    found = difference(values, values.copy(), names(40))
    assert found == Difference(0.0, 0.0, 0.0, 1.0, 40) and found.noise
    assert said(found) == ".000 [.000, .000], inside the noise"


def test_the_p_of_few_clusters_is_exact():
    """|±1 ±2 ±3| takes 6, 4, 2, 0, 0, 2, 4, 6: two are as far as 1 + 2 + 3, four as far as −1 + 2 + 3. Where the
    differences add up to 0, rounded, every sum is as far."""
    zero = np.zeros((3, 1))
    assert difference(np.array([[1.0], [2.0], [3.0]]), zero, names(3)).p == 2 / 8
    assert difference(np.array([[-1.0], [2.0], [3.0]]), zero, names(3)).p == 4 / 8
    assert difference(np.array([[0.1], [0.1], [0.2], [-0.4]]), zero[:1].repeat(4, 0), names(4)).p == 1


def test_a_difference_that_few_clusters_cannot_show_is_noise():
    found = difference(np.full((5, 1), 0.1), np.zeros((5, 1)), names(5))
    assert (found.low, found.high, found.p) == (pytest.approx(0.1), pytest.approx(0.1), 2 / 32)
    assert said(found) == ".100 [.100, .100], inside the noise (p .06)"


@pytest.mark.parametrize("clusters", [10, 40])
def test_p_is_uniform_where_there_is_nothing(clusters):
    """Heavy tails, correlated turns: the share of p ≤ t is t. Kolmogorov's bound of 300 at 1 in 1,000 is 0.113."""
    rng = np.random.default_rng(clusters)
    found = []
    for trial in range(300):
        apart = np.repeat(rng.standard_t(3, size=(clusters, 1)), 3, axis=0) + rng.normal(size=(3 * clusters, 1))
        found.append(difference(apart, np.zeros_like(apart), names(3 * clusters, 3), seed=trial, draws=10).p)
    grid = np.linspace(0.02, 0.98, 49)
    assert np.abs([np.mean(np.array(found) <= t) - t for t in grid]).max() < 0.113


def test_a_small_difference_on_the_same_samples_is_seen():
    """Samples vary by 1, the editors by 0.05 ± 0.1: pairing finds what two separate intervals cannot."""
    rng = np.random.default_rng(0)
    b = rng.normal(size=(200, 1))
    a = b - 0.05 + 0.1 * rng.normal(size=(200, 1))
    found = difference(a, b, names(200))
    assert not found.noise and found.p == 1 / (1 + FLIPS) and found.high < 0
    assert estimate(a, names(200)).high > estimate(b, names(200)).low


def test_said():
    assert said(Difference(-0.0468, -0.0501, -0.0421, 0.0001, 99)) == "−.047 [−.050, −.042]"
    assert said(Difference(0.004, -0.01, 0.02, 0.5, 99)) == ".004 [−.010, .020], inside the noise"
    assert said(Difference(-1.25, -1.5, -1.0, 0.0001, 99), digits=1) == "−1.2 [−1.5, −1.0]"
    assert said(Difference(-0.0001, -0.3, 0.2, 0.9, 99)).startswith(".000 ")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_an_error(bad):
    values = np.array([[1.0], [bad]])
    for fails in (lambda: estimate(values, names(2)), lambda: difference(values, np.ones((2, 1)), names(2))):
        with pytest.raises(ValueError, match="sample 1: not finite"):
            fails()


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="N clusters"):
        estimate(np.ones((3, 1)), names(2))
    with pytest.raises(ValueError, match="N clusters"):
        estimate(np.ones((0, 1)), [])
    with pytest.raises(ValueError, match="the same samples"):
        difference(np.ones((3, 1)), np.ones((2, 1)), names(3))


def test_five_thousand_samples_take_a_moment():
    rng = np.random.default_rng(0)
    a, b = rng.random((5000, 3)), rng.random((5000, 3))
    start = time.process_time()
    estimate(a, names(5000))
    difference(a, b, names(5000))
    assert time.process_time() - start < 10  # 0.8 s on a slow core


def test_a_ratio_of_sums():
    """Σa / Σb; drawing only empty denominators is no draw; equal ratios everywhere have no spread."""
    a, b = np.array([[3.0], [1.0], [0.0]]), np.array([[6.0], [2.0], [0.0]])
    found = ratio(a, b, ["x", "y", "z"])
    assert (found.mean, found.low, found.high, found.count) == (0.5, 0.5, 0.5, 3)
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 50, (40, 1)).astype(float)
    noisy = sizes * rng.uniform(0.2, 0.4, (40, 1))
    found = ratio(noisy, sizes, [str(i) for i in range(40)])
    assert found.mean == pytest.approx(noisy.sum() / sizes.sum()) and found.low < found.mean < found.high
    order = rng.permutation(40)
    assert ratio(noisy[order], sizes[order], [str(i) for i in order]) == found
    assert ratio(np.hstack([noisy, noisy]), np.hstack([sizes, sizes]), [str(i) for i in range(40)]).sd == 0
    with pytest.raises(ValueError, match="something below the line"):
        ratio(a, np.zeros((3, 1)), ["x", "y", "z"])
