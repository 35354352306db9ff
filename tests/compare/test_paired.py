"""Differences between two rows: of what they are the difference, and whether the intervals mean anything."""

import numpy as np
import pytest

from uip2p.cli import main
from uip2p.compare.paired import compare, differences
from uip2p.evaluate.scene_tables import summarise

KINDS = ("color", "place")


def samples(rng, shift=0.0, count=12, noise=0.05):
    """Samples of both turns whose figures are random, some of them moved by `shift`."""
    rows = []
    for turns in ("single-turn", "three-turn"):
        for kind in KINDS:
            for number in range(count + (3 if kind == "color" else 0)):
                hard = (number % 5) / 5  # what a case costs any row
                rows.append({
                    "case": f"{kind}-{number}", "turns": turns, "kind": kind,
                    "l1": hard + shift + noise * rng.normal(), "l2": 0.1, "success": float(rng.random() < 0.5 + shift),
                    "inside_sum": 2.0 + hard + shift, "wanted_sum": 4.0 + number, "outside_sum": 1.0 + shift * number,
                    "outside_pixels": 100.0 + number, "halfway": 0.0,
                })  # fmt: skip
    return rows


def table(rows, turns="single-turn", part="all"):
    """The figures as the comparison's tables have them."""
    every = [{**r, "rows": dict.fromkeys(("model", "copy-input", "round trip", "best possible"), r)} for r in rows]
    return summarise(every)[turns][part]["model"]


def test_the_difference_is_that_of_the_tables():
    rng = np.random.default_rng(0)
    row, other = [samples(rng, 0.2), samples(rng, 0.3)], [samples(rng)]
    compared = compare(row, other)
    assert set(compared) == {"single-turn", "three-turn"} and set(compared["single-turn"]) == {"all", "appendix"}
    for part in ("all", "appendix"):
        found = compared["single-turn"][part]
        assert set(found) == {"l1", "l2", "success", "inside", "outside"}, "what no sample has is left out"
        for figure, (difference, low, high) in found.items():
            mean = np.mean([table(each, part=part)[figure] for each in row])
            assert difference == pytest.approx(mean - table(other[0], part=part)[figure]), figure
            assert low <= difference <= high
    assert compared["single-turn"]["all"]["l2"] == pytest.approx([0, 0, 0], abs=1e-12)


def test_pairing_leaves_out_what_the_cases_cost_both_alike():
    rng = np.random.default_rng(1)
    _, low, high = differences([samples(rng, 0.05)], [samples(rng)])["l1"]
    assert 0 < low < 0.05 < high < 0.1, "the cases themselves differ by up to 0.8"


def test_nineteen_of_twenty_intervals_hold_the_truth():
    rng = np.random.default_rng(2)
    one = lambda shift: [s for s in samples(rng, shift) if s["turns"] == "single-turn"]  # noqa: E731
    held = sum(low <= 0.1 <= high for low, high in (differences([one(0.1)], [one(0)])["l1"][1:] for _ in range(60)))
    assert 50 <= held <= 60


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(3)
    narrow = differences([samples(rng, 0.2)] * 3, [samples(rng)] * 3)["l1"]
    wide = differences([samples(rng, shift) for shift in (0.0, 0.2, 0.4)], [samples(rng)] * 3)["l1"]
    assert wide[2] - wide[1] > 3 * (narrow[2] - narrow[1])


def test_other_cases_are_refused():
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="different cases"):
        differences([samples(rng)], [samples(rng, count=11)])
    with pytest.raises(ValueError, match="different cases"):
        differences([samples(rng), samples(rng, count=11)], [samples(rng)])


def test_a_row_to_compare_with_that_is_not_there(tiny_comparison, capsys):
    """One that is: test_comparison.py."""
    text = tiny_comparison.read_text()
    tiny_comparison.write_text(text.replace('against = "supervised, clean"', 'against = "nobody"'))
    assert main(["compare", str(tiny_comparison), "--dry-run"]) == 2
    assert "has no row 'nobody'" in capsys.readouterr().err
