import processes
import pytest

from uip2p.compare import evaluation
from uip2p.compare.config import Sampling, load_comparison
from uip2p.compare.evaluation import Evaluation, Evaluator, choose
from uip2p.compare.plots import style
from uip2p.compare.results import lower_is_better, merge, spread
from uip2p.compare.tables import cell, figures_table
from uip2p.errors import UserError


def test_spread_is_mean_and_sample_deviation():
    found = spread([{"l1": 0.1, "direction": None}, {"l1": 0.3, "direction": 0.5}, {"l1": 0.2, "direction": 0.7}])
    assert found["l1"]["mean"] == pytest.approx(0.2) and found["l1"]["sd"] == pytest.approx(0.1)
    assert found["direction"]["mean"] == pytest.approx(0.6) and found["direction"]["values"] == [None, 0.5, 0.7]
    assert spread([{"l1": 0.1}])["l1"]["sd"] is None and "success" not in found


def test_summaries_of_seeds_become_one():
    def summary(value):
        table = {"model": {"l1": value}, "copy-input": {"l1": 9.0}}
        part = {"count": 3, "all": table, "kinds": {"add": {"count": 3, **table}}, "intervals": {"all": {}}}
        return {"single-turn": part}

    merged = merge([summary(1.0), summary(3.0)])["single-turn"]
    assert merged["all"]["l1"]["mean"] == merged["kinds"]["add"]["l1"]["mean"] == 2.0
    assert set(merged) == {"count", "all", "kinds"}, "four kinds are not there, and so not made up"
    assert merge([summary(1.0)], "copy-input")["single-turn"]["all"]["l1"]["mean"] == 9.0


def test_the_best_setting_is_chosen_of_equals_the_first():
    a, b, c = (Sampling(steps, 1.0, 1.0) for steps in (1, 2, 3))
    assert choose({a: 0.5, b: 0.7, c: 0.7}) == (b, 0.7)
    assert choose({a: 0.5, b: None, c: 0.7}, least=True) == (a, 0.5)
    with pytest.raises(UserError, match="defined for no setting"):
        choose({a: None})
    assert lower_is_better("inside") and lower_is_better("l1") and not lower_is_better("score")


def test_cells_and_columns():
    assert cell("l1", {"mean": 0.12345, "sd": 0.01}) == "0.1235 ± 0.0100"
    assert cell("success", {"mean": 0.5, "sd": None}) == "50%" and cell("l1", None) == "–"
    table = figures_table({"a": {"l1": {"mean": 0.1, "sd": None}, "clip_i": {"mean": None, "sd": None}}, "b": None})
    assert table.splitlines() == ["|  | L1 ↓ |", "| --- | --- |", "| a | 0.1000 |"]


def test_every_row_looks_different():
    styles = [tuple(style(number)[key] for key in ("color", "linestyle", "marker")) for number in range(28)]
    assert len(set(styles)) == 28 and len({colour for colour, *_ in styles[:7]}) == 7


@pytest.mark.parametrize(
    "begun", [processes.context, pytest.param(None, marks=pytest.mark.slow)], ids=["fork server", "spawned"]
)
def test_processes_make_what_one_makes_and_a_fault_is_named(begun, tiny_comparison, tmp_path, monkeypatch, capsys):
    """Three evaluations by two workers, one of them of a model that is not there. begun: where torch is imported
    already, or as users' are."""
    monkeypatch.setattr(evaluation, "CASES_A_WORKER", 1)
    if begun is not None:
        monkeypatch.setattr(evaluation.multiprocessing, "get_context", lambda _: begun)
    root = load_comparison(str(tiny_comparison)).config.root

    def evaluations(folder):
        return [Evaluation(f"{steps}", folder, root / "base/model", Sampling(steps, 1.0, 1.0), "test", 3, 4)
                for steps in (1, 2)]  # fmt: skip

    broken = Evaluation("broken", tmp_path / "two", root / "nowhere", Sampling(1, 1.0, 1.0), "test", 3, 4)
    one, two = Evaluator(root / "judge/model", 1), Evaluator(root / "judge/model", 2)
    assert one.make(evaluations(tmp_path / "one"), "one") == {}
    faults = two.make([*evaluations(tmp_path / "two"), broken], "two")
    assert list(faults) == [str(tmp_path / "two/broken")] and "no such model" in faults[str(tmp_path / "two/broken")]
    for here, there in zip(evaluations(tmp_path / "one"), evaluations(tmp_path / "two"), strict=True):
        a, b = one.known(here)["summary"], two.known(there)["summary"]
        assert a["single-turn"]["all"]["model"] == pytest.approx(b["single-turn"]["all"]["model"], abs=1e-4)
    assert Evaluator(root / "clip/model").known(evaluations(tmp_path / "one")[0]) is None, "another judge"
