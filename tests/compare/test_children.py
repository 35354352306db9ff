"""Real processes: they fail, wait, and are stopped."""

import os
import signal
import sys
import threading
import time

import pytest

from uip2p.compare.children import Child, environment, run_children
from uip2p.learning.journal import is_locked, locked

SAVES = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(130)))
print("running", flush=True)
time.sleep(60)
"""


def child(tmp_path, name, code):
    return Child(name, (sys.executable, "-c", code), tmp_path / name)


def test_one_that_fails_leaves_the_others_alone_and_its_log_is_shown(tmp_path, capsys):
    children = [child(tmp_path, "a", "print('well')"), child(tmp_path, "b", "raise ValueError('no such thing')")]
    children.append(child(tmp_path, "c", "print('well')"))
    faults = run_children(children, 2, environment(2))
    assert list(faults) == ["b"] and "exit code 1" in faults["b"] and "train.log" in faults["b"]
    assert "no such thing" in capsys.readouterr().err
    assert [(tmp_path / name / "train.log").read_text() for name in "ac"] == ["well\n"] * 2


def test_so_many_at_once_in_order_with_their_share_of_the_cores(tmp_path):
    code = "import os, time; print(os.environ['OMP_NUM_THREADS']); time.sleep(0.7)"
    children, most, order = [child(tmp_path, str(i), code) for i in range(4)], [], []

    def watch(running):
        most.append(len(running))
        order.extend(c.name for c in running if c.name not in order)

    assert run_children(children, 2, environment(10**6), watch) == {}
    assert max(most) == 2 and order == ["0", "1", "2", "3"]
    assert (tmp_path / "0/train.log").read_text() == "1\n"
    assert int(environment(1)["OMP_NUM_THREADS"]) == os.cpu_count()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_children_and_begins_no_other(tmp_path, number):
    children = [child(tmp_path, name, SAVES) for name in "abc"]

    def stop():
        logs = [tmp_path / name / "train.log" for name in "ab"]
        while not all(log.exists() and "running" in log.read_text() for log in logs):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_children(children, 2, environment(2))
    assert all((tmp_path / name / "train.log").read_text() == "running\nsaved\n" for name in "ab")
    assert not (tmp_path / "c").exists()


HOLDS = """
import sys, time
from pathlib import Path
from uip2p.learning.journal import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_folder_that_another_process_trains_in_is_waited_for(tmp_path):
    import subprocess

    waits = child(tmp_path, "a", "print('mine')")
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(waits.out)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n" and is_locked(waits.out)
    seen = []

    def watch(running):
        seen.append([c.name for c in running])
        if len(seen) == 3:
            assert not waits.log.exists()
            holder.kill()
            holder.wait()

    assert run_children([waits], 1, environment(1), watch) == {}
    assert waits.log.read_text() == "mine\n" and seen[0] == ["a"] and not is_locked(waits.out)
    with locked(waits.out):
        pass
