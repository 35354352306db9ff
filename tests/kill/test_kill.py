"""Whatever kills a run, whenever: the same command goes on, and ends with the same bits as a run nobody killed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from lives import CONFIG, life, live
from processes import context
from safetensors.torch import load_file

from uip2p.learning.journal import Journal

TIMING = {"seconds", "images_per_second"}

MOMENTS = {
    "before the first checkpoint": ("forward 2", 0),
    "between two checkpoints": ("forward 10", 2),
    "a checkpoint's file half written": ("torn optimizer 2", 0),
    "a checkpoint written, not yet renamed": ("before rename step-00000008 1", 2),
    "a checkpoint renamed, the old ones not yet removed": ("after rename step-00000012 1", 0),
    "the best weights half written": ("torn ema.safetensors.tmp 1", 0),
    "the best weights replaced, their step not yet saved": ("after replace ema.safetensors 2", 2),
    "a snapshot written, not yet in its place": ("before rename 000000060 1", 0),
    "a snapshot in its place, its step not yet saved": ("after rename 000000060 1", 0),
    "a picture of samples written, not yet in its place": ("before replace 000000042.png 1", 0),
    "the model written, not yet in its place": ("export", 0),
    "the model in its place, the run not yet marked as finished": ("before replace finished.json 1", 0),
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert live(out) == 0, log(out)
    return out


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_is_unbroken(moment, unbroken, tmp_path):
    death, workers = MOMENTS[moment]
    out = tmp_path / "run"
    assert live(out, death, workers) == -9, log(out)
    assert not (out / "finished.json").exists()
    assert live(out, workers=2 - workers) == 0, log(out)  # the workers may change on the way
    assert_same(out, unbroken)


def test_killed_in_every_life(unbroken, tmp_path):
    out = tmp_path / "run"
    for death in ("forward 5", "torn model 1", "after rename step-00000008 1", "forward 13", "export"):
        assert live(out, death) == -9, log(out)
    assert live(out) == 0, log(out)
    assert_same(out, unbroken)


@pytest.mark.parametrize(("death", "workers"), [("sigint 6", 2), ("sigterm 9", 0)])
def test_a_signal_ends_the_step_saves_and_leaves_cleanly(death, workers, unbroken, tmp_path):
    out = tmp_path / "run"
    assert live(out, death, workers) == 0, log(out)
    step = int(death.split()[1]) + 1
    assert (out / "checkpoints" / f"step-{step:08d}").is_dir(), "the step in hand is finished and saved"
    assert "run the same command again to go on" in log(out)
    assert not (out / "model").exists()
    assert live(out) == 0, log(out)
    assert f"going on from step {step} of 20" in log(out)
    assert_same(out, unbroken)


def test_workers_change_nothing(unbroken, tmp_path):
    assert live(tmp_path / "run", workers=2) == 0
    assert_same(tmp_path / "run", unbroken)


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    out = tmp_path / "run"
    long = context.Process(target=life, args=(out, None, 0, {"steps": 100_000, "schedule": "constant"}))
    long.start()
    wait_for(lambda: (out / "metrics.jsonl").exists() and len(Journal.read(out / "metrics.jsonl")) > 1)
    code = live(out)
    long.kill()
    long.join()
    assert code == 1 and "another run is training in this folder" in log(out)


@pytest.mark.slow
def test_killed_at_random_instants(tmp_path):
    more = {"steps": 400, "save_every": 7}
    assert live(tmp_path / "unbroken", **more) == 0
    out, dice = tmp_path / "run", random.Random(0)
    for _ in range(12):
        process = context.Process(target=life, args=(out, None, dice.choice([0, 2]), more))
        process.start()
        time.sleep(dice.uniform(0.3, 1.5))
        process.kill()
        process.join()
    assert live(out, **more) == 0, log(out)
    assert_same(out, tmp_path / "unbroken", steps=400)


def assert_same(out: Path, unbroken: Path, steps: int = CONFIG["steps"]) -> None:
    """Every tensor of the last checkpoint, the best weights and the model, bit for bit; every row but its timing."""
    last = f"checkpoints/step-{steps:08d}"
    snapshots = [f"snapshots/{path.name}/model" for path in (unbroken / "snapshots").iterdir()]
    assert snapshots
    for name in (f"{last}/model", f"{last}/ema", f"{last}/optimizer", "best/ema", "model/model", *snapshots):
        here, there = (load_file(folder / f"{name}.safetensors") for folder in (out, unbroken))
        assert here.keys() == there.keys() and len(here) > 0
        for key in here:
            assert here[key].numpy().tobytes() == there[key].numpy().tobytes(), f"{name}: {key} differs"
    assert rows(out) == rows(unbroken)
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    assert names == sorted(str(path.relative_to(unbroken)) for path in unbroken.rglob("*")), "nothing is left over"
    for name in (name for name in names if name.endswith(".png")):
        assert (out / name).read_bytes() == (unbroken / name).read_bytes()


def rows(out: Path) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMING} for line in lines]


def log(out: Path) -> str:
    path = Path(f"{out}.log")
    return path.read_text() if path.exists() else ""


def wait_for(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
