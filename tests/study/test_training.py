"""What is trained, in which order, and that a folder never passes for another training."""

import json
import shutil

import pytest

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.study.config import load_study
from uip2p.study.training import plan, shared_stages, train_all, trainings

SAMPLES = 24 * 2  # steps × batch, as the tiny study says


def runs_of(path):
    study = load_study(str(path))
    return study, trainings(study, study.rows)


def test_every_rows_first_seed_comes_before_any_second(tiny_study):
    _, runs = runs_of(tiny_study)
    assert [run.name for run in runs] == ["supervised-clean/seed-1", "uip2p-full/seed-1", "uip2p-full/seed-2"]
    assert all(run.samples == SAMPLES for run in runs)


def test_a_seed_changes_data_and_draws_and_nothing_else(tiny_study):
    _, (_, one, two) = runs_of(tiny_study)
    assert (one.tables["data"]["seed"], two.tables["data"]["seed"]) == (41, 42)
    assert (one.config.seed, two.config.seed) == (1, 2)
    for run in (one, two):
        run.tables["data"].pop("seed"), run.tables["train"].pop("seed")
    assert one.tables == two.tables and one.tables["train"]["snapshot_every_images"] == 24
    assert one.inputs() == two.inputs() and set(one.inputs()) == {"base", "clip"}


@pytest.fixture
def trained(tiny_study):
    """The first row, trained as the study would."""
    _, (run, *_) = runs_of(tiny_study)
    run.out.mkdir(parents=True)
    run.write_note()
    assert main(list(run.command[3:])) == 0
    return tiny_study


def test_what_is_finished_is_known(trained):
    study, (run, *_) = runs_of(trained)
    run.check()
    assert run.finished() and run.measured()["images"] == SAMPLES
    assert run.note()["command"][:3] == ["uip2p", "train", "--recipe"] and run.note()["inputs"] == run.inputs()
    printed = plan(study, study.rows, 2)
    assert "1 done" in printed and "1 to do, 2 to do" in printed
    assert f"{2 * SAMPLES:,} pictures by recipes of which no speed is known" in printed
    assert train_all(study, study.select(["supervised, clean"]), 1) == {}, "and needs no process"


def test_another_training_in_the_folder_is_refused(trained):
    """A row that is changed after it was trained must not be published under its new name."""
    changed = trained.with_name("changed.toml")
    changed.write_text(trained.read_text().replace('"train.steps=24"', '"train.steps=24", "faults.scene=1.0"', 1))
    study, (run, *_) = runs_of(changed)
    with pytest.raises(UserError, match=r"recipe\.faults\.scene is 0\.0 in this run, and is 1\.0"):
        run.check()
    with pytest.raises(UserError, match=r"faults\.scene"):
        train_all(study, study.rows, 1)
    assert "another training" in plan(study, study.rows, 1) and "faults.scene" in plan(study, study.rows, 1)
    assert main(["study", str(changed), "--no-train", "--out", str(trained.with_name("out"))]) == 2


def test_another_base_is_refused(trained, save_base):
    _, (run, *_) = runs_of(trained)
    base = run.root / "base/model"
    shutil.rmtree(base)
    save_base(base, seed=5)
    with pytest.raises(UserError, match="trained from another 'base'"):
        run.check()


def test_missing_shared_stages_come_first_each_after_what_it_needs(tiny_study):
    study, _ = runs_of(tiny_study)
    assert shared_stages(study, study.rows) == []
    for stage in ("judge", "base"):
        shutil.rmtree(study.config.root / stage)
    children = shared_stages(study, study.rows)
    assert [child.name for child in children] == ["study-autoencoder", "study-base", "study-judge"]
    assert children[1].command[-2:] == ("--recipe", "study-base") and str(study.config.root) in children[1].command
    assert children[1].out == study.config.root / "base"
    assert "first, for all of them: uip2p train" in plan(study, study.rows, 1)


def test_one_that_fails_is_named_and_the_rest_goes_on(trained, capsys):
    """The second row has a field that its loss does not know: its child says so, and the command fails."""
    before, _, after = trained.read_text().rpartition('"train.steps=24"')
    after = after.replace("curves = true", "seeds = [1]", 1)
    trained.write_text(f'{before}"train.steps=24", "loss.directoin=1"{after}')
    out = trained.with_name("out")
    assert main(["study", str(trained), "--out", str(out), "--jobs", "1"]) == 2
    captured = capsys.readouterr()
    assert "unknown key 'directoin'" in captured.err and "uip2p-full/seed-1 failed" in captured.err
    assert "not in the table: uip2p-full/seed-1" in captured.out
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["supervised, clean"], captured.err


def test_nothing_is_written_before_a_row_is_trained(tiny_study, capsys):
    out = tiny_study.with_name("out")
    assert main(["study", str(tiny_study), "--no-train", "--out", str(out)]) == 2
    assert "no row is trained yet" in capsys.readouterr().err and not out.exists()
