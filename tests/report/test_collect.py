"""What a report says of runs: recomputed by hand from their rows, and what it refuses to read."""

import json
from dataclasses import replace

import numpy as np
import pytest
from drawn_runs import CAREFUL, LARGE, PUBLISHED, WILD, Scenes, Toward, make_run

from uip2p.errors import UserError
from uip2p.evaluate.running import Shard
from uip2p.evaluate.runs import load_run
from uip2p.report.collect import collect, finite
from uip2p.report.examples import by_rank, shown_rows


@pytest.fixture(scope="module")
def data(run_folder):
    return collect([run_folder]).data


@pytest.fixture(scope="module")
def known(data):
    return data["suites"][0]["groups"][0]


def means(run, group):
    return {
        row: {figure: np.mean([seeds[0][turn][figure] for turn in run.turns(group)]) for figure in ("l1", "l2")}
        for row, seeds in run.rows.items()
    }


def test_rows_are_means_of_the_runs_rows(run_folder, data, known):
    assert [group["name"] for group in data["suites"][0]["groups"]] == ["single-turn", "unknown"]
    assert known["columns"] == ["l1", "l2", "dino"] and known["edits"] == 9
    assert [row["name"] for row in known["published"]] == ["Careful", "Somebody"]
    by_hand = means(load_run(run_folder), "single-turn")
    assert [row["name"] for row in known["measured"]] == list(by_hand)
    for row in known["measured"]:
        for figure, value in by_hand[row["name"]].items():
            assert row["figures"][figure]["mean"] == pytest.approx(value)
    assert known["measured"][0]["baseline"] and known["measured"][1]["figures"]["l1"]["mean"] == 0


def test_differences_are_of_the_first_editor_on_the_same_edits(run_folder, known):
    by_hand = means(load_run(run_folder), "single-turn")
    assert [(d["row"], d["against"]) for d in known["differences"]] == [
        ("Careful", "copy-input"), ("Careful", "ground truth"), ("Careful", "wild"),
    ]  # fmt: skip
    for found in known["differences"]:
        for figure in ("l1", "l2"):
            expected = by_hand["Careful"][figure] - by_hand[found["against"]][figure]
            assert found["figures"][figure]["mean"] == pytest.approx(expected)


def test_an_ablation_compares_each_editor_with_the_one_before(tmp_path):
    steps = [Toward("base", 0.2), Toward("+sim", 0.5), Toward("+attn", 0.9)]
    run = make_run(tmp_path / "run", steps, Scenes(name="ablation"))
    found = collect([run]).data["suites"][0]["groups"][0]
    assert [(d["row"], d["against"]) for d in found["differences"]] == [("+sim", "base"), ("+attn", "+sim")]
    by_hand = means(load_run(run), "single-turn")
    for step in found["differences"]:
        expected = by_hand[step["row"]]["l1"] - by_hand[step["against"]]["l1"]
        assert step["figures"]["l1"]["mean"] == pytest.approx(expected)
    assert [line.partition(":")[0] for line in found["verdicts"]] == ["base → +sim", "+sim → +attn"]
    assert all("CLIP-T was not measured" in line for line in found["verdicts"])


def test_a_best_row_is_best_beyond_the_noise(known, tmp_path):
    assert known["best"]["l1"] == {"row": "Careful", "next": "wild", "noise": False}
    assert "dino" not in known["best"]
    twins = make_run(tmp_path / "twins", [Toward("one", 0.5, 20.0), Toward("other", 0.5, 20.0, scale=1)])
    found = collect([twins]).data["suites"][0]["groups"][0]["best"]["l1"]
    assert found["noise"]


def test_what_copying_wins_is_said(data, known):
    blind = data["suites"][0]["groups"][1]
    assert blind["columns"] == ["outside"] and blind["copying"] == ["outside"]
    assert known["copying"] == []


def test_a_published_name_is_held_against_ours(known):
    assert known["named"] == [{"name": "Careful", "within": {"l1": False}}]
    assert known["missing"] == [{"figure": "dino", "why": "published, and not measured in this run"}]


def test_kinds_are_groups_of_their_own(run_folder, known):
    run = load_run(run_folder)
    assert set(known["kinds"]) == {sample["kind"] for sample in run.samples.values()} and len(known["kinds"]) == 9
    for kind, rows in known["kinds"].items():
        turns = [turn for turn in run.turns("single-turn") if run.samples[turn]["kind"] == kind]
        assert set(rows) == {"Careful", "wild"}
        assert rows["wild"]["l1"]["mean"] == pytest.approx(np.mean([run.rows["wild"][0][t]["l1"] for t in turns]))


def test_examples_are_chosen_by_rank(run_folder, data, known):
    run = load_run(run_folder)
    order = sorted(run.turns("single-turn"), key=lambda turn: run.rows["Careful"][0][turn]["l1"])
    assert known["ranked_by"] == "l1" and known["ranked_row"] == "Careful"
    shown = {example["rank"]: example["turn"] for example in known["examples"] if not example["of_kind"]}
    assert shown == {"best": order[0], "median": order[4], "worst": order[-1]}
    of_kinds = [example["turn"] for example in known["examples"] if example["of_kind"]]
    assert sorted(of_kinds) == sorted(set(order) - set(shown.values()))
    assert known["examples"][0]["instruction"] == run.samples[order[0]]["instruction"]
    other = collect([run_folder], by="l2").data["suites"][0]["groups"]
    assert other[0]["ranked_by"] == "l2"


def test_by_rank_with_few_and_equal_values():
    assert by_rank({}, 1) == {} and by_rank({"a": 1.0}, 1) == {"best": "a"}
    assert by_rank({"b": 1.0, "a": 1.0}, -1) == {"best": "a", "median": "b"}
    assert by_rank({"a": 0.1, "b": 0.9, "c": 0.5}, 1) == {"best": "b", "median": "c", "worst": "a"}


def test_of_a_curve_the_ends_and_the_middle_are_shown():
    rows = [{"name": name, "model": "", "baseline": True} for name in ("copy-input", "round trip", "ground truth")]
    rows += [{"name": f"m {i}", "model": "m", "baseline": False} for i in range(7)]
    assert shown_rows(rows) == ["round trip", "m 0", "m 3", "m 6"]


def test_runs_that_asked_the_same_are_one_table(run_folder, tmp_path):
    second = make_run(tmp_path / "second", [LARGE, replace(WILD, noise=5.0)])
    (suite,) = collect([run_folder, second]).data["suites"]
    names = [row["name"] for row in suite["groups"][0]["measured"]]
    assert names == ["copy-input", "ground truth", "Careful", "wild", "large", "wild (second)"]
    assert [row["run"] for row in suite["rows"]] == ["first"] * 4 + ["second"] * 2
    assert [d["against"] for d in suite["groups"][0]["differences"]][-1] == "wild (second)"


def test_runs_that_asked_another_thing_are_not(run_folder, tmp_path):
    other = make_run(tmp_path / "other", [LARGE], Scenes(settings={"seed": 8}, count=2))
    suites = collect([run_folder, other]).data["suites"]
    assert [len(suite["groups"][0]["measured"]) for suite in suites] == [4, 3]


def test_it_is_json_and_names_no_place_of_this_machine(data, run_folder):
    text = json.dumps(data, allow_nan=False)
    assert str(run_folder.parent) not in text
    assert json.loads(text) == data
    assert finite({"a": float("inf"), "b": (1.0, float("nan"))}) == {"a": None, "b": [1.0, None]}


def test_a_run_that_is_not_finished_says_how_much_is_missing(tmp_path):
    folder = make_run(tmp_path / "half", [CAREFUL], Scenes(count=4), shard=Shard(0, 2))
    with pytest.raises(UserError, match=r"12 of 24 edits are still.*Go on with: uip2p evaluate --out half"):
        collect([folder])


def test_what_is_no_run_is_refused(run_folder, tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        collect([tmp_path])
    with pytest.raises(UserError, match=r"--by clip_i: .* measured: dino, l1, l2, outside"):
        collect([run_folder], by="clip_i")
    for content, message in (("{", "cannot be read"), ("[]", "must hold an object"), ("{}", "not what uip2p compare")):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(UserError, match=message):
            collect([tmp_path])


def test_a_run_of_baselines_alone_has_no_examples(tmp_path):
    folder = make_run(tmp_path / "bare", [], Scenes(count=1, published=PUBLISHED))
    group = collect([folder]).data["suites"][0]["groups"][0]
    assert group["examples"] == [] and group["differences"] == [] and group["best"] == {}
