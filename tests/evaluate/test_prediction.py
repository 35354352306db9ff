"""What a score is worth: AUC, best of N, the alarm and its threshold, on scores made by hand."""

import itertools

import numpy as np
import pytest

from uip2p.evaluate.prediction import (
    LEAST,
    PRECISION,
    alarm,
    as_text,
    auc,
    best_of,
    calibrate,
    choice_rank,
    column,
    interval,
    summarise,
)


def make_rows(scores, success, kind="color"):
    """[n, N] scores and successes -> rows; reversibility is noise, direction the score."""
    noise = np.random.default_rng(0).random(np.shape(scores))
    return [
        {"case": f"{kind}-{i}", "kind": kind, "candidates": [
            {"seed": j, "reversibility": noise[i][j], "direction": float(s), "score": float(s), "success": float(good)}
            for j, (s, good) in enumerate(zip(own, goods, strict=True))]}
        for i, (own, goods) in enumerate(zip(scores, success, strict=True))
    ]  # fmt: skip


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(1)
    score, success = rng.integers(0, 6, 40), rng.random(40) < 0.4
    pairs = list(itertools.product(score[success], score[~success]))
    by_hand = np.mean([1.0 if good > bad else 0.5 if good == bad else 0.0 for good, bad in pairs])
    assert auc(score, success) == pytest.approx(by_hand)
    assert auc(success.astype(float), success) == 1 and auc(-success.astype(float), success) == 0
    assert auc(np.ones(40), success) == 0.5
    assert auc(score, np.ones(40)) is None and auc(score, np.zeros(40)) is None


def test_best_of_is_the_mean_over_all_choices():
    score = np.array([[0.1, 0.4, 0.3, 0.2]])
    success = np.array([[0.0, 1.0, 0.0, 1.0]])
    assert best_of(score, success, 1)[0] == 0.5
    assert best_of(score, success, 4)[0] == 1
    # of the six pairs: 1 wins three times (a success), 2 wins against 0 and 3 (failures), 3 against 0 (a success)
    assert best_of(score, success, 2)[0] == pytest.approx(4 / 6)
    assert best_of(success, success, 2)[0] == pytest.approx(5 / 6)  # an oracle fails only where both are failures


def test_equal_scores_are_decided_by_direction():
    rows = make_rows([[0.0, 0.0, 0.2]], [[0, 0, 0]])
    for candidate, direction in zip(rows[0]["candidates"], (-0.3, -0.1, 0.2), strict=True):
        candidate["direction"] = direction
    assert choice_rank(rows)[0].tolist() == [0, 1, 2]


def test_interval_is_over_cases_and_shrinks_with_them():
    rng = np.random.default_rng(2)
    values = (rng.random(900) < 0.3).astype(float)
    wide, narrow = (interval(lambda cases, v=values[:n]: float(v[cases].mean()), n) for n in (90, 900))
    assert wide[1] < 0.3 < wide[2] and narrow[1] < values.mean() < narrow[2]
    assert narrow[2] - narrow[1] == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 900), rel=0.2)
    assert (wide[2] - wide[1]) / (narrow[2] - narrow[1]) == pytest.approx(np.sqrt(10), rel=0.25)
    # candidates that are all alike tell no more than one: the interval does not shrink with them
    one, four = values[:90, None], np.repeat(values[:90, None], 4, axis=1)
    assert interval(lambda c: float(four[c].mean()), 90) == interval(lambda c: float(one[c].mean()), 90)
    assert interval(lambda cases: None, 9) is None


def test_the_threshold_is_the_highest_of_which_the_sentence_is_true():
    rng = np.random.default_rng(3)
    score = rng.random((300, 4))
    success = rng.random((300, 4)) < score  # the lower, the likelier a failure
    below = calibrate(score, success)
    found = alarm(score, success, below)
    assert found["precision"] >= PRECISION and found["flagged"] * score.size >= LEAST
    assert 0.25 < below < 0.55  # failures below t are 1 − t/2 of all: 80 % at t = .4
    higher = np.sort(score[score > below])[:200]
    assert all((success[score < t] == 0).mean() < PRECISION for t in higher[1:])
    assert found["recall"] == pytest.approx((success[score < below] == 0).sum() / (success == 0).sum())
    assert calibrate(score, np.ones_like(score)) is None  # what never fails has no alarm
    assert alarm(score, np.zeros_like(score), calibrate(score, np.zeros_like(score)))["flagged"] == 1
    assert calibrate(score[:1], np.zeros((1, 4))) is None  # four edits are chance


def test_equal_scores_are_never_parted_by_the_threshold():
    score, success = np.array([[0.0] * 30 + [0.5] * 30]), np.array([[0.0] * 30 + [0.0] * 10 + [1.0] * 20])
    assert 0 < calibrate(score, success) <= 0.5
    assert alarm(score, success, calibrate(score, success))["flagged"] == 0.5


def test_an_alarm_that_never_sounds():
    score, success = np.full((2, 2), 0.5), np.array([[0, 1], [1, 1]])
    found = alarm(score, success, 0.1)
    assert (found["flagged"], found["precision"], found["recall"], found["failed"]) == (0, None, 0, 0.25)


def test_summary_and_its_words():
    rng = np.random.default_rng(4)
    score = rng.random((60, 4))
    rows = make_rows(score, rng.random((60, 4)) < score) + make_rows(score, np.ones((60, 4)), "time")
    summary = summarise(rows, below=0.3)
    assert list(summary["groups"]) == ["all", "appendix", "color", "time"]
    color, time = summary["groups"]["color"], summary["groups"]["time"]
    assert color["auc"]["score"][0] == auc(column(rows[:60], "score"), column(rows[:60], "success")) > 0.7
    assert 0.3 < color["auc"]["reversibility"][0] < 0.65 and time["auc"]["score"] is None
    chosen = [color["best_of"][n]["chosen"][0] for n in ("1", "2", "4")]
    assert chosen == sorted(chosen) and chosen[2] > chosen[0] + 0.1
    assert chosen[0] == pytest.approx(color["success"][0]) == pytest.approx(column(rows[:60], "success").mean())
    assert all(color["best_of"][n]["possible"][0] >= color["best_of"][n]["chosen"][0] for n in ("1", "2", "4"))
    text = as_text(summary)
    assert (
        "120 cases, 4 candidates each" in text and "color (60)" in text and "likely failed (score below 0.300)" in text
    )
    assert summarise(rows)["alarm"] is None and "likely failed" not in as_text(summarise(rows))
