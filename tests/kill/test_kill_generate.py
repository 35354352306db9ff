"""Whatever kills a run of `data generate`, whenever: the same command goes on, and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from processes import context
from runs import ColorWriter, config, edits_and_rejected, ids_done, life, make_source

from uip2p.instructions.generate import generate


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def unbroken(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    generate(config(source), out, make_writer=ColorWriter, quiet=True)
    return edits_and_rejected(out)


def start(source: Path, out: Path, death: str = "", workers: int = 1):
    process = context.Process(target=life, args=(source, out, death, workers))
    process.start()
    return process


def finish(process, timeout: float = 30) -> int:
    process.join(timeout)
    assert process.exitcode is not None, f"still alive after {timeout} s"
    return process.exitcode


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def lines(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (out / "journal").glob("*.jsonl"))


@pytest.mark.parametrize("death", [
    "before shards/00003.json 1",
    *(pytest.param(death, marks=pytest.mark.slow) for death in (
        "before edits/00001.parquet 1", "after edits/00001.parquet 1", "after rejected/00002.parquet 1",
        "after shards/00003.json 1",
    )),
])  # fmt: skip
def test_killed_while_a_shard_is_finished(death, source, unbroken, tmp_path):
    out = tmp_path / "run"
    assert finish(start(source, out, death)) == -signal.SIGKILL, Path(f"{out}.log").read_text()
    assert finish(start(source, out)) == 0, Path(f"{out}.log").read_text()
    assert edits_and_rejected(out) == unbroken
    assert set(ids_done(out).values()) == {1}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_in_the_middle_of_a_shard_loses_no_line(workers, source, unbroken, tmp_path):
    out = tmp_path / "run"
    first = start(source, out, workers=workers)
    wait_for(lambda: lines(out) > 20)
    os.killpg(first.pid, signal.SIGKILL) if workers > 1 else first.kill()
    finish(first)
    done = ids_done(out)
    assert 20 < len(done) < 300 and set(done.values()) == {1}
    assert finish(start(source, out)) == 0, Path(f"{out}.log").read_text()
    assert edits_and_rejected(out) == unbroken


@pytest.mark.slow
def test_worker_processes_do_not_outlive_their_parent(source, unbroken, tmp_path):
    out = tmp_path / "run"
    first = start(source, out, workers=2)
    wait_for(lambda: lines(out) > 5)
    first.kill()
    finish(first)
    assert finish(start(source, out, workers=2)) == 0, Path(f"{out}.log").read_text()
    assert edits_and_rejected(out) == unbroken


@pytest.mark.parametrize(("number", "workers"), [
    (signal.SIGINT, 1), *(pytest.param(signal.SIGTERM, workers, marks=pytest.mark.slow) for workers in (1, 2)),
])  # fmt: skip
def test_a_signal_stops_cleanly(number, workers, source, unbroken, tmp_path):
    out = tmp_path / "run"
    first = start(source, out, workers=workers)
    wait_for(lambda: lines(out) > 20)
    os.kill(first.pid, number)
    assert finish(first) == 130
    assert "run the same command again to go on" in Path(f"{out}.log").read_text()
    before = ids_done(out)
    assert 20 < len(before) < 300
    assert finish(start(source, out)) == 0
    assert edits_and_rejected(out) == unbroken


@pytest.mark.slow
def test_a_second_run_in_the_folder_is_refused(source, tmp_path):
    out = tmp_path / "run"
    first = start(source, out)
    wait_for(lambda: lines(out) > 5)
    second = start(source, out)
    assert finish(second) == 1
    assert "another run is writing edits in this folder" in Path(f"{out}.log").read_text()
    first.kill()
    finish(first)


@pytest.mark.slow
def test_killed_at_random_instants(source, unbroken, tmp_path):
    dice, killed = random.Random(0), 0
    for round_ in range(20):
        out = tmp_path / f"run-{round_}"
        while True:
            process = start(source, out, workers=dice.choice([1, 1, 2]))
            process.join(dice.uniform(0.05, 1.0))
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            killed += 1
        assert process.exitcode == 0 and edits_and_rejected(out) == unbroken
        assert set(ids_done(out).values()) == {1}
    assert killed > 20
