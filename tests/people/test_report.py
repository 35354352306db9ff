"""The report: every figure recomputed here by hand, and who is left out."""

from __future__ import annotations

import argparse
import json
import math
from itertools import combinations

import numpy as np
import pytest

from uip2p.errors import UserError
from uip2p.people import command
from uip2p.people.answers import Answer, Answers
from uip2p.people.counting import PRIOR, agreement, intervals, shares, strengths, votes_of, wins
from uip2p.people.report import PUBLISHED, Rules, markdown, report

M = ("A", "B", "C", "D")
CHOSEN = [  # rater → item → the two methods chosen
    [("A", "B"), ("A", "C"), ("A", "B")],
    [("A", "B"), ("B", "C"), ("A", "D")],
    [("C", "B"), ("A", "C"), ("A", "B")],
]


def test_shares_and_wins_by_hand():
    votes = votes_of(CHOSEN, M)
    assert votes.shape == (3, 3, 4)
    np.testing.assert_allclose(shares(votes), np.array([7, 6, 4, 1]) / 18)
    won = wins(votes).sum(0)
    assert won[0, 3] == 6 and won[3, 0] == 0  # A without D: 6 items of 7; with D once
    assert won[0, 1] == 3 and won[1, 0] == 2
    assert won.trace() == 0 and won.sum() == 9 * 4  # two winners over two losers an item


def test_strengths_are_the_maximum_of_the_stated_likelihood():
    """Where the derivative by each θ is 0: a method's wins are those that the model expects of it."""
    counted = wins(votes_of(CHOSEN, M)).sum(0)
    theta = strengths(counted)
    assert theta.sum() == pytest.approx(0, abs=1e-9)
    given = counted + PRIOR * (1 - np.eye(4))
    for i in range(4):
        expected = sum((given[i, j] + given[j, i]) / (1 + math.exp(theta[j] - theta[i])) for j in range(4) if j != i)
        assert given[i].sum() == pytest.approx(expected, abs=1e-5)


def test_two_methods_have_the_odds_of_their_wins():
    theta = strengths(np.array([[0, 30.0], [10.0, 0]]))
    assert theta[0] - theta[1] == pytest.approx(math.log((30 + PRIOR) / (10 + PRIOR)))


def test_who_never_wins_has_a_finite_strength():
    theta = strengths(np.array([[0, 5.0, 5], [0, 0, 5], [0, 0, 0]]))
    assert np.isfinite(theta).all() and theta[0] > theta[1] > theta[2]
    assert np.abs(strengths(np.zeros((3, 3)))).max() < 1e-6  # no answers, no difference


def alpha_by_hand(chosen, methods) -> float:
    """1 − D_o / D_e by counting pairs of single answers."""
    units = [[method in one[item] for one in chosen] for item in range(len(chosen[0])) for method in methods]
    same_unit = [a != b for unit in units for a, b in combinations(unit, 2)]
    everything = [answer for unit in units for answer in unit]
    any_unit = [a != b for a, b in combinations(everything, 2)]
    return 1 - np.mean(same_unit) / np.mean(any_unit)


def test_agreement_by_hand():
    assert agreement(votes_of(CHOSEN, M)) == pytest.approx(alpha_by_hand(CHOSEN, M))
    assert agreement(votes_of([CHOSEN[0]] * 3, M)) == 1
    against = [[("A", "B")], [("C", "D")]]
    assert agreement(votes_of(against, M)) == pytest.approx(alpha_by_hand(against, M)) and alpha_by_hand(against, M) < 0
    assert agreement(votes_of(CHOSEN[:1], M)) is None


def test_intervals_hold_the_figure_and_come_of_the_seed():
    votes = votes_of(CHOSEN * 5, M)

    def drawn(seed):
        return intervals(len(votes), lambda index: shares(votes[index]), seed)

    assert drawn(1) == drawn(1) != drawn(2)
    for (low, high), share in zip(drawn(1), shares(votes), strict=True):
        assert low <= share <= high and high - low < 0.3
    same = votes_of([CHOSEN[0]] * 4, M)  # who all say the same leaves nothing open
    assert all(low == high for low, high in intervals(4, lambda index: shares(same[index]), 0))
    assert intervals(1, lambda index: shares(votes[index]), 0) is None


def answers_of(made, rater, favourites, seconds=10, items=None, fail=False) -> list[Answer]:
    """A rater who chooses the two of `favourites` (question → methods) everywhere, and passes the checks or not."""
    found = []
    for item in items or made.study.items:
        if item.id in made.key.checks:
            right = set(made.key.checks[item.id])
            pictures = set(item.candidates) - right if fail else right
            chosen = {question: frozenset(pictures) for question in favourites}
        else:
            chosen = {
                question: frozenset(name for name in item.candidates if made.key.pictures[name] in methods)
                for question, methods in favourites.items()
            }
        found.append(Answer(rater, item.id, chosen, seconds))
    return found


FIRST = {"match": ("UIP2P", "HIVE"), "preserve": ("UIP2P", "copy-input")}
SECOND = {"match": ("UIP2P", "InstructPix2Pix"), "preserve": ("UIP2P", "copy-input")}


def test_who_is_left_out_and_why(made):
    answers = [
        *answers_of(made, "a" * 32, FIRST), *answers_of(made, "b" * 32, SECOND),
        *answers_of(made, "c" * 32, FIRST, fail=True), *answers_of(made, "d" * 32, FIRST, seconds=1),
        *answers_of(made, "e" * 32, FIRST, items=made.study.items[:2]),
        *answers_of(made, "f" * 32, FIRST, seconds=None),
    ]  # fmt: skip
    result = report(made.study, made.key, answers, Rules())
    assert result["raters"] == 3
    why = {one["rater"][0]: "; ".join(one["reasons"]) for one in result["excluded"]}
    assert why == {
        "c": "failed checks: 1 of 1", "d": "too fast: median 1 s an item, less than 3 s",
        "e": "incomplete: 2 of 4 answered",
    }  # fmt: skip
    match = result["figures"]["match"]["methods"]
    assert {name: row["votes"] for name, row in match.items()} == {
        "InstructPix2Pix": 3, "UIP2P": 9, "HIVE": 6, "copy-input": 0,
    }  # fmt: skip
    assert match["UIP2P"]["share"] == 9 / 18
    assert result["figures"]["preserve"]["agreement"] == 1
    page = markdown(result)
    for reason in why.values():
        assert reason in page
    assert report(made.study, made.key, answers, Rules(failed_checks=1, min_seconds=1))["raters"] == 5


def test_the_page_sets_the_published_beside(made):
    result = report(made.study, made.key, answers_of(made, "a" * 32, FIRST), Rules())
    page = markdown(result)
    assert "| UIP2P | 50.0 | 50.0 |" in page and "| 22 / 20 |" in page  # one rater: no interval
    assert "| HIVE | 50.0 | 0.0 |" in page and "| 14 / 13 |" in page
    assert "| MGIE (published only) | – | – | – | – | 20 / 19 |" in page
    assert sum(row["match"] for row in PUBLISHED.values()) == sum(row["preserve"] for row in PUBLISHED.values()) == 100
    assert "not defined (fewer than two raters)" in page


def test_nobody_left_is_an_error_that_says_why(made):
    with pytest.raises(UserError, match="nobody has answered"):
        report(made.study, made.key, [], Rules())
    with pytest.raises(UserError, match="cccccccc: failed checks: 1 of 1"):
        report(made.study, made.key, answers_of(made, "c" * 32, FIRST, fail=True), Rules())


def test_the_command_writes_and_prints(made, tmp_path, capsys):
    answers = Answers(tmp_path / "a.sqlite", made.study)
    for given in (*answers_of(made, "a" * 32, FIRST), *answers_of(made, "b" * 32, SECOND)):
        item = next(item for item in made.study.items if item.id == given.item)
        answers.add(given.rater, item, {name: sorted(names) for name, names in given.choices.items()}, given.seconds)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["report", made.folder, "--key", made.key_file, "--answers", tmp_path / "a.sqlite", "--out", tmp_path / "o"]
    command.run(parser.parse_args([str(word) for word in words]))
    printed = capsys.readouterr().out
    assert (tmp_path / "o" / "report.md").read_text() in printed
    written = json.loads((tmp_path / "o" / "report.json").read_text())
    assert written["raters"] == 2 and written["methods"] == list(made.key.methods)
    assert written["figures"]["match"]["methods"]["HIVE"]["votes"] == 3
