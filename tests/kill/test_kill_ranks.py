"""Every promise of a run that may be killed, kept by two processes together: DDP and FSDP2."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import time

import pytest
from lives import live_together
from safetensors.torch import load_file
from test_kill import assert_same

from uip2p.learning import checkpoint
from uip2p.learning.checkpoint import list_steps

WAYS = pytest.mark.parametrize("unbroken", [False, True], ids=["replicated", "sharded"], indirect=True)  # shard or not
DIED, GAVE_UP = -9, 1


@pytest.fixture(scope="module")
def unbroken(request, tmp_path_factory):
    """A whole run of two; `shard` beside it."""
    shard = getattr(request, "param", False)
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert live_together(out, shard=shard) == [0, 0], said(out)
    return out, shard


def said(out, rank=0) -> str:
    return out.with_name(f"{out.name}.log.{rank}").read_text()


@WAYS
@pytest.mark.parametrize(("rank", "death"), [
    (1, "forward 10"),
    (0, "torn optimizer 2"),
    (0, "before rename step-00000008 1"),
    (0, "export"),
], ids=["the second between two checkpoints", "the first with a file half written", "not yet renamed", "in the export"])
def test_killed_and_resumed_is_unbroken(rank, death, unbroken, tmp_path):  # fmt: skip
    out, (whole, shard) = tmp_path / "run", unbroken
    codes = live_together(out, {rank: death}, shard=shard)
    assert codes[rank] == DIED and codes[1 - rank] == GAVE_UP, said(out, 1 - rank)
    assert "lost the others" in said(out, 1 - rank)
    assert live_together(out, shard=shard) == [0, 0], said(out)
    assert_same(out, whole)


@pytest.mark.parametrize("asked", [{1: "sigterm 9"}, {0: "sigterm 9", 1: "sigterm 9"}], ids=["one", "all"])
def test_asked_to_stop_all_save_and_stop(asked, unbroken, tmp_path):
    out, (whole, _) = tmp_path / "run", unbroken
    assert live_together(out, asked) == [0, 0], said(out)
    assert list_steps(out / "checkpoints")[-1].name == "step-00000010" and not (out / "model").exists()
    assert "stopped and saved at step 10; run the same command again" in said(out)
    assert live_together(out) == [0, 0] and "going on from step 10 of 20" in said(out)
    assert_same(out, whole)


def test_a_flipped_bit_in_any_file_costs_only_the_steps_since_the_checkpoint_before(unbroken, tmp_path):
    stopped, (whole, _) = tmp_path / "stopped", unbroken
    assert live_together(stopped, {0: "sigterm 9"}) == [0, 0], said(stopped)
    files = sorted(path.name for path in (stopped / "checkpoints/step-00000010").iterdir())
    assert files == ["ema.safetensors", "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"]
    for name in files:
        out = tmp_path / name / "run"
        shutil.copytree(stopped, out)
        file = out / "checkpoints/step-00000010" / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        assert live_together(out) == [0, 0], said(out)
        assert f"step-00000010/{name} is" in said(out) and "going on from step 8 of 20" in said(out)
        assert_same(out, whole)


def test_a_full_disk_stops_all_and_costs_nothing(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(options, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk, and not everywhere")
    quiet = dict(validate_every=0, sample_every_images=0, snapshot_every_images=0, log_every=100)
    try:
        out, filler, log = place / "run", place / "filler", tmp_path / "run.log"  # what is said lies on another disk
        assert live_together(out, {0: f"fill 5 {filler}"}, log=log, **quiet) == [GAVE_UP, GAVE_UP]
        for rank in (0, 1):
            words = said(tmp_path / "run", rank)
            assert "step-00000008: could not be written" in words and "MiB are free" in words
        assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000004"]
        filler.unlink()
        assert live_together(out, log=log, **quiet) == [0, 0]
        assert "going on from step 4 of 20" in said(tmp_path / "run")
        assert live_together(tmp_path / "whole", **quiet) == [0, 0]
        for name in ("checkpoints/step-00000020/model", "checkpoints/step-00000020/optimizer", "model/model"):
            one, two = (load_file(folder / f"{name}.safetensors") for folder in (out, tmp_path / "whole"))
            assert all(one[key].numpy().tobytes() == two[key].numpy().tobytes() for key in one)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@WAYS
def test_killed_at_fifty_random_instants_during_saving(unbroken, tmp_path):
    """The writer dies somewhere in a save; the other with it, or after it has noticed."""
    _, shard = unbroken
    more = {"steps": 400, "save_every": 1, "shard": shard, "schedule": "constant"}
    whole, out, dice, torn = tmp_path / "whole", tmp_path / "run", random.Random(int(shard)), 0
    assert live_together(whole, **more) == [0, 0], said(whole)
    seconds = save_seconds(whole, tmp_path / "timed")
    for _ in range(50):
        death = f"saving {dice.randint(1, 3)} {dice.uniform(0, 1.2 * seconds):.5f}"
        codes = live_together(out, {0: death}, **more)
        assert codes[0] == DIED and codes[1] == GAVE_UP, said(out)
        torn += bool(list((out / "checkpoints").glob("*.tmp-*")))
    assert torn >= 10, f"only {torn} of 50 were in the middle of writing"
    assert live_together(out, **more) == [0, 0], said(out)
    assert_same(out, whole, steps=400)


def save_seconds(run, folder) -> float:
    """What a save of this run takes here."""
    groups, state = checkpoint.load(list_steps(run / "checkpoints")[-1])
    times = []
    for step in range(5):
        began = time.perf_counter()
        checkpoint.save(folder, step, groups, state)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
