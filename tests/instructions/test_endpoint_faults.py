"""A run against an endpoint that fails by a plan, and that is killed on its way: nothing is lost, nothing is doubled,
and few calls are made in vain."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from endpoint_life import CONCURRENCY, start
from endpoints import FAULTS, Plan, asked, captions, serve

from uip2p.instructions.accept import Judge, Rules
from uip2p.instructions.shards import finished, read_rows, total_counts
from uip2p.instructions.writer import Edit
from uip2p.records import Caption

pytest.importorskip("openai")
pytest.importorskip("pyarrow")

def make_source(folder: Path, count: int) -> Path:
    """Captions alone: a run does not open their pictures."""
    folder.mkdir()
    rows = [{"file_name": f"{row}.png", "caption": text} for row, text in enumerate(captions(count))]
    for row in rows:
        (folder / row["file_name"]).touch()
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run_to_the_end(source: Path, out: Path, server, kills: list[int]) -> None:
    """A life after the other; each but the last is killed as soon as the server has had so many calls in all."""
    for calls in [*kills, None]:
        life = start(source, out, server.base_url)
        while life.exitcode is None and (calls is None or len(server.requests) < calls):
            time.sleep(0.005)
        if calls is not None:
            assert life.exitcode is None, Path(f"{out}.log").read_text()
            life.kill()
        life.join(120)
        assert life.exitcode == (0 if calls is None else -signal.SIGKILL), Path(f"{out}.log").read_text()


def check(out: Path, count: int, plan: Plan, server, lives: int) -> None:
    rows = list(read_rows(out))
    assert [row["row"] for row in rows] == list(range(count))
    assert [row["caption"] for row in rows] == captions(count)
    pairs = [(Edit(*(row[name] for name in ("kind", "instruction", "edited_caption", "reverse_instruction"))),
              Caption(row["id"], row["image_id"], row["caption"])) for row in rows]  # fmt: skip
    assert all(verdict.accepted for verdict in Judge(Rules())(pairs))
    assert len({row["id"] for row in rows}) == len({row["instruction"] + row["caption"] for row in rows}) == count
    assert all(row["writer"] == "endpoint" and row["model"] == "m" and len(row["prompt"]) == 12 for row in rows)

    calls = len(server.requests)
    assert calls <= 1.5 * count, (calls, plan.counts)
    assert set(plan.counts) == {"", *FAULTS}  # each fault was met
    assert 0.2 < 1 - plan.counts[""] / calls < 0.4
    # Of captions that were done before a kill, none was asked about again: each life loses what was in flight, alone.
    again = Counter(asked(request)["caption"] for request in server.requests)
    answered = plan.counts[""] + plan.counts["duplicates"]
    assert answered - count <= lives + 2 * CONCURRENCY * (lives - 1), again.most_common(5)
    counted = total_counts(out)
    assert counted.captions == counted.accepted == count and not counted.errors
    assert count <= counted.calls <= calls


def test_faults_and_a_kill(tmp_path):
    plan = Plan(seed=1, silence=1.3)
    source, out = make_source(tmp_path / "photos", 60), tmp_path / "out"
    with serve(plan) as server:
        run_to_the_end(source, out, server, [45])
        check(out, 60, plan, server, lives=2)


@pytest.mark.slow
def test_faults_and_five_kills_in_a_thousand(tmp_path):
    plan = Plan(seed=0, silence=1.3)
    source, out = make_source(tmp_path / "photos", 1000), tmp_path / "out"
    with serve(plan) as server:
        run_to_the_end(source, out, server, [150, 371, 602, 850, 1111])
        check(out, 1000, plan, server, lives=6)
        print(f"{len(server.requests)} calls for 1,000 captions", dict(plan.counts))
    assert finished(out) == list(range(10))
