"""Child processes, several at once: each writes a log, one that fails leaves the others alone, a signal stops all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from uip2p.learning import checkpoint
from uip2p.learning.journal import Stop, is_locked

POLL = 0.3  # seconds
TAIL = 12  # lines of a failed child's log that are shown


@dataclass(frozen=True)
class Child:
    """out: its folder. Its log is out/train.log; while another process holds out/lock, it waits. prepare: called just
    before it starts."""

    name: str
    command: tuple[str, ...]
    out: Path
    prepare: Callable[[], object] = lambda: None

    @property
    def log(self) -> Path:
        return self.out / "train.log"


def environment(jobs: int) -> dict[str, str]:
    """This process's own, with a fair share of the cores for each of so many children."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}


def run_children(
    children: Sequence[Child],
    jobs: int,
    environment: Mapping[str, str],
    watch: Callable[[list[Child]], None] = lambda running: None,
) -> dict[str, str]:
    """Run all, at most `jobs` at once and in their order; returns the name and fault of each that failed.

    watch: called a few times a second with those that run. The first SIGINT or SIGTERM sends SIGTERM to the children,
    waits for them (they save what they have) and raises KeyboardInterrupt.
    """
    waiting, running, faults = list(children), dict[Child, subprocess.Popen](), dict[str, str]()
    stopping = False
    with Stop() as stop:
        try:
            while running or (waiting and not stop.asked):
                if stop.asked and not stopping:
                    stopping = True
                    _terminate(running)
                elsewhere = [child for child in waiting if is_locked(child.out)]
                free = 0 if stopping else max(0, jobs - len(running) - len(elsewhere))
                for child in [child for child in waiting if child not in elsewhere][:free]:
                    waiting.remove(child)
                    running[child] = _start(child, environment)
                watch([*running, *elsewhere])
                time.sleep(POLL)
                for child in [child for child, process in running.items() if process.poll() is not None]:
                    code = running.pop(child).returncode
                    if code and not stop.asked:
                        faults[child.name] = f"{child.log}: ended with exit code {code}"
                        tqdm.write(f"{child.name} failed; the end of {child.log}:\n{tail(child.log)}", file=sys.stderr)
        finally:  # there are some left only after an exception or a second signal
            _terminate(running)
            for process in running.values():
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
        if stop.asked:
            raise KeyboardInterrupt
    return faults


def tail(log: Path) -> str:
    """The last lines of a log; a progress bar's every state is a line of its own."""
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-TAIL:])


def _start(child: Child, environment: Mapping[str, str]) -> subprocess.Popen:
    with checkpoint.writing(child.out):
        child.out.mkdir(parents=True, exist_ok=True)
        child.prepare()
        log = open(child.log, "ab")  # noqa: SIM115 (closed below; the child keeps its own)
    with log:
        return subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
        )


def _terminate(running: Mapping[Child, subprocess.Popen]) -> None:
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
