"""How per-sample rows add up: by hand, and what a reader must be able to rely on."""

import pytest

from uip2p.evaluate.scene_tables import COLUMNS, ROWS, as_text, one_kind, over_kinds, summarise


def sample(kind="color", turns="single-turn", inside=0.0, wanted=1.0, outside=0.0, pixels=10, trip=0.1, l1=0.0):
    row = {"l1": l1, "l2": 0.0, "success": 1.0, "halfway": 1.0, "inside_sum": inside, "wanted_sum": wanted,
           "outside_sum": outside, "outside_pixels": pixels}
    rows = {name: dict(row) for name in ROWS}
    rows["round trip"]["outside_sum"] = trip
    rows["copy-input"] |= {"inside_sum": wanted, "outside_sum": 0.0, "success": 0.0}
    return {"case": f"{kind}-{inside}", "kind": kind, "turns": turns, "rows": rows}


def test_inside_is_a_ratio_of_sums_within_a_kind():
    """A tiny mask with a huge relative error must not swamp the rest."""
    table = one_kind([sample(inside=10, wanted=100), sample(inside=5, wanted=1)])
    assert table["model"]["inside"] == pytest.approx(15 / 101)
    assert table["copy-input"]["inside"] == 1


def test_over_kinds_every_kind_weighs_the_same():
    samples = [sample("color", inside=0.2)] * 3 + [sample("add", inside=0.6)]
    assert over_kinds(samples)["model"]["inside"] == pytest.approx(0.4)


def test_outside_is_a_mean_over_pixels_and_relative_to_the_round_trip():
    table = over_kinds([sample("color", outside=1, pixels=10, trip=1), sample("add", outside=3, pixels=30, trip=1)])
    assert table["model"]["outside"] == pytest.approx(4 / 40)
    assert table["model"]["outside_ratio"] == pytest.approx(2)
    assert table["round trip"]["outside_ratio"] == 1 and table["copy-input"]["outside_ratio"] == 0


def test_masks_that_cover_everything_leave_outside_undefined_but_the_rest_defined():
    table = one_kind([sample("place", inside=0.3, outside=0, pixels=0, trip=0)])
    assert table["model"]["outside"] is None and table["model"]["outside_ratio"] is None
    assert table["model"]["score"] == pytest.approx(0.7)


def test_score_is_won_neither_by_copying_nor_by_repainting():
    table = one_kind([sample(inside=0.1, outside=1, trip=1)])
    assert table["copy-input"]["score"] == 0
    assert table["model"]["score"] == pytest.approx(0.9)
    repainted = one_kind([sample(inside=0.1, outside=100, trip=1)])
    assert repainted["model"]["score"] == pytest.approx(0.9 * (0.6 + 0.4 / 100))
    assert one_kind([sample(inside=1.7)])["model"]["score"] == 0


def test_summary_parts_and_order():
    samples = [sample(kind, inside=0.1 * i) for i, kind in enumerate(["color", "add", "remove", "move", "tone"])]
    samples += [sample("session", "three-turn", inside=0.9)]
    summary = summarise(samples)
    single = summary["single-turn"]
    assert single["count"] == 5 and list(single["kinds"]) == ["color", "add", "remove", "move", "tone"]
    assert single["appendix"]["model"]["inside"] == pytest.approx((0 + 0.1 + 0.2 + 0.3) / 4)
    assert single["all"]["model"]["inside"] == pytest.approx(0.2)
    assert summary["three-turn"]["all"]["model"]["inside"] == pytest.approx(0.9)
    assert "appendix" not in summary["three-turn"] and "kinds" not in summary["three-turn"]
    shuffled = summarise(samples[::-1])["single-turn"]["all"]["model"]
    assert shuffled == pytest.approx(single["all"]["model"], nan_ok=True)


def test_text_has_every_row_and_kind_and_no_none():
    samples = [sample(kind) for kind in ("color", "add", "remove", "move", "tone")]
    text = as_text(summarise([*samples, sample("session", "three-turn")]))
    for expected in (*ROWS, "color (1)", "tone (1)", "three-turn", "the paper's four kinds"):
        assert expected in text
    assert "None" not in text and "nan" not in text
    assert "CLIP-I ↑" not in text and "judge ↑" not in text  # there was no judge
    assert max(map(len, text.splitlines())) < 120


def test_a_figure_that_only_some_rows_have_is_a_dash():
    samples = [sample("place", pixels=0, trip=0), sample("color")]
    assert "–" in as_text(summarise(samples))


def test_every_column_is_in_print_and_the_judges_word_is_a_mean():
    samples = [sample("color"), sample("add"), sample("color", inside=0.5)]
    for i, one in enumerate(samples):
        for row in one["rows"].values():
            row |= {"clip_i": 0.5, "clip_t": 0.5, "direction": 0.5, "judge_success": float(i == 0)}
    summary = summarise(samples)
    assert summary["single-turn"]["all"]["model"]["judge_success"] == pytest.approx(1 / 4)
    assert summary["single-turn"]["kinds"]["color"]["best possible"]["judge_success"] == pytest.approx(1 / 2)
    text = as_text(summary)
    assert all(heading in text for heading, _ in COLUMNS.values())
    assert "judge, best possible:  color 50%  add 0%" in text
    assert set(summary["single-turn"]["all"]["model"]) == set(COLUMNS)


def test_intervals_beside_the_tables():
    samples = [sample(kind, inside=0.1 * i) for kind in ("color", "tone") for i in range(9)]
    part = summarise(samples)["single-turn"]
    assert set(part["intervals"]) == {"all", "appendix", "color", "tone"}
    for name, table in (("all", part["all"]), ("appendix", part["appendix"]), ("tone", part["kinds"]["tone"])):
        low, high = part["intervals"][name]["model"]["inside"]
        assert low < table["model"]["inside"] < high
        assert part["intervals"][name]["copy-input"]["inside"] == [1, 1]
        assert part["intervals"][name]["model"]["direction"] is None  # no judge
    low, high = part["intervals"]["all"]["model"]["inside"]
    assert f"inside {low:.3f} to {high:.3f}" in as_text({"single-turn": part})
