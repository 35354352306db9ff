"""What is trained, in which order, and that a folder never passes for another training."""

import json
import shutil

import pytest

from uip2p.cli import main
from uip2p.compare.config import load_comparison
from uip2p.compare.training import plan, shared_stages, train_all, trainings
from uip2p.errors import UserError

SAMPLES = 24 * 2  # steps × batch, as the tiny comparison says


def runs_of(path):
    comparison = load_comparison(str(path))
    return comparison, trainings(comparison, comparison.rows)


def test_every_rows_first_seed_comes_before_any_second(tiny_comparison):
    _, runs = runs_of(tiny_comparison)
    assert [run.name for run in runs] == ["supervised-clean/seed-1", "uip2p-full/seed-1", "uip2p-full/seed-2"]
    assert all(run.samples == SAMPLES for run in runs)


def test_a_seed_changes_data_and_draws_and_nothing_else(tiny_comparison):
    _, (_, one, two) = runs_of(tiny_comparison)
    assert (one.tables["data"]["seed"], two.tables["data"]["seed"]) == (41, 42)
    assert (one.config.seed, two.config.seed) == (1, 2)
    for run in (one, two):
        run.tables["data"].pop("seed"), run.tables["train"].pop("seed")
    assert one.tables == two.tables and one.tables["train"]["snapshot_every_images"] == 24
    assert one.inputs() == two.inputs() and set(one.inputs()) == {"base", "clip"}


def test_what_is_finished_is_known(trained):
    comparison, (run, *_) = runs_of(trained)
    run.check()
    assert run.finished() and run.measured()["images"] == SAMPLES
    assert run.note()["command"][:3] == ["uip2p", "train", "--recipe"] and run.note()["inputs"] == run.inputs()
    printed = plan(comparison, comparison.rows, 2)
    assert "1 done" in printed and "1 to do, 2 to do" in printed
    assert f"{2 * SAMPLES:,} pictures by recipes of which no speed is known" in printed
    assert train_all(comparison, comparison.select(["supervised, clean"]), 1) == {}, "and needs no process"


def test_another_training_in_the_folder_is_refused(trained):
    """A row that is changed after it was trained must not be published under its new name."""
    changed = trained.with_name("changed.toml")
    changed.write_text(trained.read_text().replace('"train.steps=24"', '"train.steps=24", "faults.scene=1.0"', 1))
    comparison, (run, *_) = runs_of(changed)
    with pytest.raises(UserError, match=r"recipe\.faults\.scene is 0\.0 in this run, and is 1\.0"):
        run.check()
    with pytest.raises(UserError, match=r"faults\.scene"):
        train_all(comparison, comparison.rows, 1)
    printed = plan(comparison, comparison.rows, 1)
    assert "another training" in printed and "faults.scene" in printed
    assert main(["compare", str(changed), "--no-train", "--out", str(trained.with_name("out"))]) == 2


def test_another_base_is_refused(trained, save_base):
    _, (run, *_) = runs_of(trained)
    base = run.root / "base/model"
    shutil.rmtree(base)
    save_base(base, seed=5)
    with pytest.raises(UserError, match="trained from another 'base'"):
        run.check()


def test_missing_shared_stages_come_first_each_after_what_it_needs(tiny_comparison):
    comparison, _ = runs_of(tiny_comparison)
    assert shared_stages(comparison, comparison.rows) == []
    for stage in ("judge", "base"):
        shutil.rmtree(comparison.config.root / stage)
    children = shared_stages(comparison, comparison.rows)
    assert [child.name for child in children] == ["study-autoencoder", "study-base", "study-judge"]
    assert children[1].command[-2:] == ("--recipe", "study-base") and str(comparison.config.root) in children[1].command
    assert children[1].out == comparison.config.root / "base"
    assert "first, for all of them: uip2p train" in plan(comparison, comparison.rows, 1)


def test_one_that_fails_is_named_and_the_rest_goes_on(trained, capsys):
    """The second row has a field that its loss does not know: its child says so, and the command fails."""
    before, _, after = trained.read_text().rpartition('"train.steps=24"')
    after = after.replace("curves = true", "seeds = [1]", 1)
    trained.write_text(f'{before}"train.steps=24", "loss.directoin=1"{after}')
    out = trained.with_name("out")
    assert main(["compare", str(trained), "--out", str(out), "--jobs", "1"]) == 2
    captured = capsys.readouterr()
    assert "unknown key 'directoin'" in captured.err and "uip2p-full/seed-1 failed" in captured.err
    assert "not in the table: uip2p-full/seed-1" in captured.out
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["supervised, clean"], captured.err


def test_nothing_is_written_before_a_row_is_trained(tiny_comparison, capsys):
    out = tiny_comparison.with_name("out")
    assert main(["compare", str(tiny_comparison), "--no-train", "--out", str(out)]) == 2
    assert "no row is trained yet" in capsys.readouterr().err and not out.exists()
