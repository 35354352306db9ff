"""A run on a local Ray: the local engine's bytes, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from processes import context
from runs import BrokenWriter, ColorWriter, config, edits_and_rejected, ids_done, life, make_source

from uip2p.errors import UserError
from uip2p.instructions.config import Engine
from uip2p.instructions.generate import generate

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def unbroken(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    generate(config(source), out, make_writer=ColorWriter, quiet=True)
    return edits_and_rejected(out)


@pytest.fixture(autouse=True)
def paths(monkeypatch):
    """Ray's workers find the modules of the tests by the environment alone."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def lines(out) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (out / "journal").glob("*.jsonl"))


def test_a_killed_worker_loses_and_doubles_nothing(source, unbroken, tmp_path, monkeypatch):
    out, who = tmp_path / "run", tmp_path / "who"
    who.mkdir()
    monkeypatch.setenv("WHO", str(who))
    monkeypatch.setenv("WAIT", "0.005")
    killed = []

    def kill_one() -> None:
        while not killed:
            workers = {int(path.name) for path in who.iterdir()} - {os.getpid()}
            if workers and lines(out) > 20:
                killed.append(workers.pop())
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.01)

    threading.Thread(target=kill_one, daemon=True).start()
    counts = generate(config(source), out, Engine("ray", 2), make_writer=ColorWriter, quiet=True)
    workers = {int(path.name) for path in who.iterdir()} - {os.getpid()}
    assert killed and len(workers) == 3, "two began, one of them was killed, and one came in its place"
    assert edits_and_rejected(out) == unbroken
    assert set(ids_done(out).values()) == {1} and len(ids_done(out)) == 300
    assert counts.accepted > 0 and not list((out / "journal").iterdir())


@pytest.mark.slow
def test_an_error_of_a_worker_is_the_runs(source, tmp_path):
    with pytest.raises(UserError, match="the place is too dark"):
        generate(config(source), tmp_path / "run", Engine("ray", 2), make_writer=BrokenWriter, quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_driver_goes_on(number, source, unbroken, tmp_path):
    out = tmp_path / "run"
    driver = context.Process(target=life, args=(source, out, "", 2, "ray"))
    driver.start()
    while lines(out) < 20 and driver.is_alive():
        time.sleep(0.01)
    os.kill(driver.pid, number)
    driver.join(60)
    assert driver.exitcode == (130 if number == signal.SIGINT else -9)
    done = ids_done(out)
    assert 20 <= len(done) < 300 and set(done.values()) == {1}
    again = context.Process(target=life, args=(source, out, "", 2, "ray"))
    again.start()
    again.join(120)
    assert again.exitcode == 0 and edits_and_rejected(out) == unbroken
