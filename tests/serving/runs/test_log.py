"""metrics.jsonl is read as the trainer writes it: whole lines only, what is new only, anew when it is another file."""

import json
import time

import numpy as np
import pytest

from uip2p.learning.journal import Journal
from uip2p.serving.runs.curves import evenly, smooth, thin
from uip2p.serving.runs.log import Log


def row(step, **values):
    return {"step": step, "images": 8 * step, "total": 1.0 / step, "seconds": step * 2.0, "skipped": 0, **values}


def test_a_real_run_reads_as_its_journal_says(runs):
    log = Log(runs / "toy/done/metrics.jsonl").read()
    rows = Journal.read(runs / "toy/done/metrics.jsonl")
    for part, known in ((log.training, [r for r in rows if "total" in r]),
                        (log.validation, [r["validation"] | r for r in rows if "validation" in r])):  # fmt: skip
        for name in ("total", "denoise", "small"):
            images, values = part.curve(name)
            assert images.tolist() == [r["images"] for r in known] and values.tolist() == [r[name] for r in known]
    assert log.skipped == 1 and log.skips == [{"step": 3, "samples": [9]}]
    assert log.best == [r["images"] for r in rows if r.get("best")][-1]
    assert "lr" in log.names() and not {"step", "seconds", "skipped", "images", "alarm"} & set(log.names())


def test_what_is_new_is_read_and_a_line_that_is_being_written_is_not(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = Log(path)
    assert log.read().names() == [] and log.last == {}  # it is not there yet
    whole, half = json.dumps(row(1)) + "\n", json.dumps(row(2, direction=0.5)) + "\n"
    path.write_text(whole + half[:30])
    assert log.read().last == row(1)
    version = log.version
    assert log.read().version == version  # nothing new
    with open(path, "a") as file:
        file.write(half[30:])
    assert log.read().last == row(2, direction=0.5) and log.version > version and log.damaged == 0
    assert log.training.curve("direction")[0].tolist() == [16.0]  # a name that came late has its own place


def test_a_run_that_was_resumed_from_an_older_step_is_read_anew(tmp_path):
    path = tmp_path / "metrics.jsonl"
    journal = Journal(path, 0)
    for step in range(1, 9):
        journal.write(row(step))
    log = Log(path).read()
    journal = Journal(path, 5)  # as the trainer does when it goes on from step 5
    for step in (6, 7, 8, 9):
        journal.write(row(step, total=7.0))
    images, values = log.read().training.curve("total")
    assert images.tolist() == [8.0 * step for step in range(1, 10)] and values[5:].tolist() == [7.0] * 4
    path.unlink()
    assert log.read().names() == [] and log.last == {}


@pytest.mark.parametrize(
    "line",
    [b"{\"step\": 3, \"im", b"\xff\xfe", b"[]", b"3", b"null", b"{}", b'{"step": "x", "images": 1}', b"[" * 5000,
     b'{"step": 3, "images": 4, "validation": 5}', b'{"step": 3, "nonfinite": true}', b'{"step": 3, "total": 1}'],
)  # fmt: skip
def test_a_damaged_line_is_counted_and_left_out(tmp_path, line):
    good = json.dumps(row(1)).encode()
    (tmp_path / "m").write_bytes(b"\n".join([good, line, json.dumps(row(4)).encode(), b""]))
    log = Log(tmp_path / "m").read()
    assert log.damaged == 1 and log.training.curve("total")[0].tolist() == [8.0, 32.0]


def test_values_that_are_no_numbers_are_no_points(tmp_path):
    rows = [row(1, total=None), row(2, total="3"), row(3, total=True), row(4, total=2)]
    (tmp_path / "m").write_text("".join(json.dumps(each) + "\n" for each in rows))
    images, values = Log(tmp_path / "m").read().training.curve("total")
    assert (images.tolist(), values.tolist()) == ([32.0], [2.0])


def test_a_look_at_a_long_run_costs_only_what_is_new(tmp_path):
    """20,000 rows; the second look reads one. Time is this process's own, so that others do not count."""
    with open(tmp_path / "m", "w") as file:
        file.writelines(json.dumps(row(step)) + "\n" for step in range(1, 20_001))
    log = Log(tmp_path / "m").read()
    with open(tmp_path / "m", "a") as file:
        file.write(json.dumps(row(20_001)) + "\n")
    began = time.thread_time()
    assert log.read().step == 20_001 and len(log.training.images) == 20_001
    assert time.thread_time() - began < 0.02


def test_thinning_keeps_spikes_and_smoothing_is_a_mean():
    x, y = np.arange(10_000.0), np.zeros(10_000)
    y[1234], y[8765] = 9.0, -7.0
    few_x, few_y = thin(x, y, 300)
    assert len(few_x) <= 300 and {1234.0, 8765.0} <= set(few_x) and (few_y.max(), few_y.min()) == (9.0, -7.0)
    assert (np.diff(few_x) > 0).all()
    assert thin(x[:5], y[:5], 300)[0].tolist() == [0, 1, 2, 3, 4]
    ends = evenly(x, y, 60)[0]
    assert len(ends) == 60 and (ends[0], ends[-1]) == (0, 9999)
    values = np.random.default_rng(0).normal(size=50)
    half = 5  # of 20 % of 50
    expected = [values[max(0, i - half) : i + half + 1].mean() for i in range(50)]
    assert smooth(values, 0.2) == pytest.approx(expected) and smooth(values, 0.0) is values
