"""Bootstrap intervals against what is known of them."""

import numpy as np
import pytest

from uip2p.evaluate.confidence import intervals


def samples(kind, successes, inside=None, wanted=None):
    inside, wanted = inside or [0.5] * len(successes), wanted or [1.0] * len(successes)
    return [
        {"case": f"{kind}-{i}", "rows": {"model": {"success": float(s), "inside_sum": n, "wanted_sum": w}}}
        for i, (s, n, w) in enumerate(zip(successes, inside, wanted, strict=True))
    ]


def test_a_share_has_the_width_of_its_binomial():
    found = intervals({"add": samples("add", [1] * 60 + [0] * 140)}, "model")["success"]
    deviation = (0.3 * 0.7 / 200) ** 0.5
    assert found == pytest.approx([0.3 - 1.96 * deviation, 0.3 + 1.96 * deviation], abs=0.012)


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(60):
        low, high = intervals({"add": samples("add", rng.random(80) < 0.4)}, "model", seed=i)["success"]
        hits += low <= 0.4 <= high
    assert hits >= 52  # 57 of 60 expected


def test_kinds_are_drawn_apart_so_their_difference_widens_nothing():
    """One kind always succeeds and one never: the mean over kinds is one half in every draw."""
    kinds = {"add": samples("add", [1] * 10), "move": samples("move", [0] * 30)}
    assert intervals(kinds, "model")["success"] == [0.5, 0.5]


def test_inside_is_the_ratio_of_sums_of_the_cases_drawn():
    one = samples("add", [1] * 20, inside=[0.2] * 19 + [50.0], wanted=[1.0] * 19 + [100.0])
    low, high = intervals({"add": one}, "model")["inside"]
    assert low == pytest.approx(0.2) and 0.45 < high < 0.5  # without the large one, and with it


def test_order_changes_nothing_and_what_is_not_defined_is_none():
    one = samples("add", [1, 0, 0, 1, 1, 0])
    found = intervals({"add": one}, "model")
    assert found == intervals({"add": one[::-1]}, "model") and found["direction"] is None
    nothing_to_do = samples("add", [1], wanted=[0.0])
    assert intervals({"add": nothing_to_do}, "model")["inside"] is None
