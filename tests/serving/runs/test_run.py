"""What a run is said to be: how far, whether it copies, what was passed over, and how to go on."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from trained_runs import COPIES, EDITS, write_cycle

from uip2p.cli import parse
from uip2p.config import from_dict, to_dict
from uip2p.learning.command import deciding
from uip2p.learning.journal import compare_config
from uip2p.learning.quarantine import Quarantine
from uip2p.learning.recipes import read_recipe
from uip2p.learning.train_config import TrainConfig, free_to_change
from uip2p.serving.runs import page, words
from uip2p.serving.runs.browser import Browser
from uip2p.serving.runs.finding import METRICS
from uip2p.serving.runs.log import Log
from uip2p.serving.runs.resume import resume_command
from uip2p.serving.runs.run import read_config, read_copying, read_progress, read_unreadable

# What `journal.locked` does, without the seconds that importing it takes.
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def look(root, name):
    browser = Browser(root)
    browser.names()
    return browser, browser.view(name)


def test_a_finished_run(runs):
    browser, view = look(runs, "toy/done")
    progress = view.progress
    assert (progress.state, progress.step, progress.steps) == ("finished", 12, 12)
    assert (progress.images, progress.total, progress.rate, progress.left) == (48, 48, None, None)
    note = json.loads((runs / "toy/done/finished.json").read_text())
    assert progress.exported == note["exported"] == progress.best // 4
    said = browser.overview(view)
    assert "Finished at step 12 of 12" in said and "48 of 48" in said and browser.resume(view) == ""
    assert "1 step was skipped" in said and "step 3: samples 9" in said
    assert "Alarm: the loss is very low" not in said or view.log.last.get("alarm")


def test_a_run_that_was_stopped_says_where_it_would_go_on(runs):
    browser, view = look(runs, "toy/half")
    assert view.progress.state == "stopped" and 0 < view.progress.step < 12
    assert view.progress.resumes == view.progress.step == view.progress.images // 4
    assert f"Stopped at step {view.progress.step} of 12" in browser.overview(view)


def test_a_run_that_trains_now_says_how_long_it_will_take(tmp_path):
    folder = write_cycle(tmp_path / "run", EDITS, EDITS, overrides=("train.steps=100", "train.batch_size=32"))
    assert look(tmp_path, "run")[1].progress.state == "stopped"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder / "lock"], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "held\n"
        browser, view = look(tmp_path, "run")
        process.stdin.close()
    assert view.progress.state == "training"
    assert (view.progress.rate, view.progress.left) == (8.0, (100 - 2) * 32 / 8)
    assert "Training now: step 2 of 100" in browser.overview(view) and "about 6 min 32 s" in browser.overview(view)


def test_the_alarm_is_a_sentence_with_its_figures_and_what_to_do(tmp_path):
    for name, rows in {"now": (EDITS, COPIES), "then": (COPIES, EDITS), "never": (EDITS, EDITS)}.items():
        write_cycle(tmp_path / name, *rows)
    now, then, never = (look(tmp_path, name) for name in ("now", "then", "never"))
    found = read_copying(now[1].log)
    assert (found.rate, found.direction, found.change, found.alarmed, found.since) == (0.97, 0.02, 0.015, True, 64)
    said = now[0].overview(now[1])
    assert 'role="alert"' in said and "Alarm: this run only copies its input" in said
    for part in ("After 64 images, 97% of the edits are copies", "1.5% of its range", "direction is 0.02",
                 "loss.direction", "The trainer said: identity collapse"):  # fmt: skip
        assert part in said
    said = then[0].overview(then[1])
    assert "Note: this run only copied its input for a while" in said and "alert" not in said
    assert "After 32 images the alarm was raised" in said
    assert "Good: the edits are no mere copies" in never[0].overview(never[1])
    for means, heading in ((EDITS | {"copy_rate": 0.6}, "Note: most of the edits are still copies"),
                           (EDITS | {"clip_direction": 0.05}, "but do not move as the words do")):  # fmt: skip
        assert heading in page.copies(read_copying(Log(write_cycle(tmp_path / heading[:9], means) / METRICS).read()))


def test_pictures_that_were_passed_over_are_named_once(tmp_path):
    folder = write_cycle(tmp_path / "run", EDITS)
    assert read_unreadable(folder, tmp_path) is None
    for process in range(2):  # each writes its own account
        quarantine = Quarantine(folder / "quarantine.jsonl", 1.0, 100)
        for number in range(7):
            quarantine.seen += 1
            quarantine.add(f"row {number} <b>", f"process {process} cannot read it")
    found = read_unreadable(folder, tmp_path)
    assert (found.count, found.more, len(found.rows)) == (7, False, 5)
    browser, view = look(tmp_path, "run")
    said = browser.overview(view)
    assert "7 pictures were passed over" in said and "And 2 more." in said and "row 0 &lt;b&gt;" in said


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("mini-cycle", ()), ("mini-demo", ("train.steps=7", "loss.augment.noise=0.5", 'model.base="other"')),
     ("mini-autoencoder", ("model.widths=[8, 8, 16]",)), ("study-paired", ("faults.shift=0.5",)),
     ("own-finetune", ("train.learning_rate=1e-5",))],
)  # fmt: skip
def test_the_command_to_resume_asks_for_the_very_run(tmp_path, name, overrides):
    """It is parsed as the command line is, and the trainer's own check finds nothing that differs."""
    folder = write_cycle(tmp_path / "a b" / name.partition("-")[2], EDITS, name=name, overrides=overrides)
    config = json.loads((folder / "config.json").read_text())
    if name == "own-finetune":
        config["recipe"]["records"] = "my pictures"
        (folder / "config.json").write_text(json.dumps(config))
    program, *arguments = shlex.split(resume_command(folder, tmp_path, config))
    args = parse(arguments)
    assert program == "uip2p" and args.recipe == name and args.out == folder and args.root == folder.parent
    tables = read_recipe(args.recipe, args.overrides)
    train = from_dict(TrainConfig, tables["train"], name)
    asked = {"train": to_dict(train), "recipe": deciding(tables, args.data), "frozen_weights": "0"}
    compare_config(folder / "config.json", asked, free_to_change(train))
    assert to_dict(train) == config["train"] | {"betas": to_dict(train)["betas"]}


def test_a_recipe_of_ones_own_has_no_command(tmp_path):
    folder = write_cycle(tmp_path / "run", EDITS)
    config = json.loads((folder / "config.json").read_text())
    del config["recipe"]["loss"]["prior"]  # --set cannot take a setting away
    (folder / "config.json").write_text(json.dumps(config))
    browser, view = look(tmp_path, "run")
    assert resume_command(folder, tmp_path, config) is None and "recipe" in browser.resume(view)


DAMAGED = ["", "{", "[1]", '{"train": 3, "recipe": []}', '{"train": {"steps": "x"}}', "[" * 9999]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_config_is_a_sentence(tmp_path, text):
    folder = write_cycle(tmp_path / "run", EDITS)
    (folder / "config.json").write_text(text)
    config, fault = read_config(folder, tmp_path)
    assert ("config.json" in fault) == (not text.startswith("{\"train")) and isinstance(config, dict)
    browser, view = look(tmp_path, "run")
    assert view.progress.total is None and "Stopped at step 1" in browser.overview(view)
    for made in (browser.resume(view), browser.sample(view, 1), page.settings(config, fault)):
        assert made and "Traceback" not in made


def test_a_grid_names_its_rows_and_the_words_of_its_columns(tmp_path):
    folder = write_cycle(tmp_path / "run", EDITS)
    browser, view = look(tmp_path, "run")
    assert "No sample grid yet" in browser.sample(view, 1)
    (folder / "samples").mkdir()
    for images in (32, 640):
        Image.new("RGB", (684, 208), "white").save(folder / f"samples/{images:09d}.png")
    (folder / "samples/000001280.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    view = browser.view("run")
    shown = browser.sample(view, 2)
    assert "After 640 images" in shown and "grid 2 of 3" in shown and "data:image/png;base64," in shown
    assert 'alt="Sample grid after 640 images; rows from the top: picture, edited, edited back"' in shown
    columns = words.grid_columns(view.config)
    assert len(columns) == view.config["train"]["sample_pictures"] and all("; back: " in text for text in columns)
    assert "cannot be read" in browser.sample(view, 3) and str(tmp_path) not in browser.sample(view, 3)
    assert words.grid_columns({**view.config, "recipe": {**view.config["recipe"], "records": "mine"}}) == []


def test_every_text_of_a_file_is_escaped(tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    folder = write_cycle(tmp_path / "run", EDITS | {evil: 1.0})
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["about"] = evil
    (folder / "config.json").write_text(json.dumps(config))
    with open(folder / "metrics.jsonl", "a") as file:
        for row in ({"step": 2, "images": 64, "total": 1.0, "alarm": evil, **COPIES},
                    {"step": 3, "nonfinite": True, "samples": [evil], "skipped": 1}):  # fmt: skip
            file.write(json.dumps(row) + "\n")
    browser, view = look(tmp_path, "run")
    assert evil in view.names
    made = browser.overview(view) + browser.curves(view, view.names, 10, True) + page.settings(view.config, "")
    made += page.nothing(evil, tmp_path)
    assert "<img" not in made and made.count("&lt;img") >= 5


def test_a_run_whose_folder_vanishes_is_no_traceback(tmp_path):
    folder = write_cycle(tmp_path / "run", EDITS)
    browser, view = look(tmp_path, "run")
    shutil.rmtree(folder)
    assert browser.view("run") is None
    config, fault = read_config(folder, tmp_path)
    assert config == {} and "gone" in fault
    assert read_progress(folder, tmp_path, config, view.log.read()).state == "stopped"
    assert "cannot be read" in page.sample([folder / "samples/000000032.png"], 1, (), "", [], "")
