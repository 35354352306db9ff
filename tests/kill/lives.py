"""One life of a training run, in a process of its own, with the moment of its death given."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

import torch
from processes import context, exit_codes, start_ranks
from toy import Denoiser, Discs

from uip2p.learning import checkpoint
from uip2p.learning.trainer import TrainConfig, train

CONFIG = dict(steps=20, batch_size=6, save_every=4, keep=2, log_every=3, accumulate=2, warmup_steps=3)
CONFIG |= dict(schedule="cosine", validate_every=5, validation_batches=2, sample_every_images=40, sample_pictures=2)
CONFIG |= dict(snapshot_every_images=30)


def live(out: Path, death: str | None = None, workers: int = 0, timeout: float = 600, **changes) -> int:
    """Train in another process and return its exit code; -9 is SIGKILL. Its output is in `out`.log."""
    process = context.Process(target=life, args=(out, death, workers, changes))
    process.start()
    process.join(timeout)
    assert not process.is_alive(), f"still alive after {timeout} s"
    return process.exitcode


def life(out: Path, death: str | None, workers: int, changes: dict) -> None:
    os.setsid()  # signals to the group reach this life and its workers alone
    log = os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    objective = Denoiser()
    if death is not None:
        _arrange(death, objective)
    train(objective, Discs(0), TrainConfig(**CONFIG | changes, workers=workers), out, Discs(1))


def live_together(
    out: Path, deaths: dict[int, str] | None = None, timeout: float = 300, log: Path | None = None, **changes
) -> list[int]:
    """Two processes train together; exit codes by rank. deaths: by rank. Their output is in `log`.<rank>, by default
    beside `out`."""
    log = log or out.with_name(f"{out.name}.log")
    return exit_codes(start_ranks(rank_life, (out, deaths or {}, changes), log), timeout)


def rank_life(out: Path, deaths: dict[int, str], changes: dict) -> None:
    objective = Denoiser()
    death = deaths.get(int(os.environ["RANK"]))
    if death is not None:
        _arrange(death, objective)
    train(objective, Discs(0), TrainConfig(**CONFIG | changes), out, Discs(1))


def _kill(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def _arrange(death: str, objective: Denoiser) -> None:
    """Where the process ends: "forward N", "torn NAME N", "before FUNCTION NAME N", "after FUNCTION NAME N",
    "export", "sigint N", "sigterm N", "saving N SECONDS" into it; N-th time, or step N. Or what befalls it: "fill N
    FILE" fills the disk."""
    kind, *rest = death.split()
    if kind in ("forward", "sigint", "sigterm", "fill"):
        _in_forward(objective, int(rest[0]), kind, *rest[1:])
    elif kind == "saving":
        _saving(int(rest[0]), float(rest[1]))
    elif kind == "export":
        write = objective.export
        objective.export = lambda folder: (write(folder), _kill())
    elif kind == "torn":
        _torn(rest[0], int(rest[1]))
    else:
        _around(kind, rest[0], rest[1], int(rest[2]))


def _in_forward(objective: Denoiser, step: int, kind: str, file: str = "") -> None:
    forward = objective.forward

    def dying(batch, draw):
        if draw.step == step and not dying.done:
            dying.done = True
            if kind == "forward":
                _kill()
            if kind == "fill":
                _fill(file)
            else:
                os.killpg(0, signal.SIGINT if kind == "sigint" else signal.SIGTERM)
        return forward(batch, draw)

    dying.done = False
    objective.forward = dying


def _fill(file: str) -> None:
    with contextlib.suppress(OSError), open(file, "wb", buffering=0) as disk:
        while True:
            disk.write(bytes(4096))


def _saving(count: int, seconds: float) -> None:
    """Die so long after the count-th save has begun, wherever it then is."""
    save, seen = checkpoint.save, []

    def dying(*args):
        seen.append(args)
        if len(seen) == count:
            threading.Timer(seconds, _kill).start()
        return save(*args)

    checkpoint.save = dying


def _torn(name: str, count: int) -> None:
    """Die with the count-th file of that name half written."""
    write, seen = checkpoint.write_tensors, []

    def dying(path, *args):
        write(path, *args)
        if name in str(path):
            seen.append(path)
            if len(seen) == count:
                os.truncate(path, path.stat().st_size // 2)
                _kill()

    checkpoint.write_tensors = dying


def _around(kind: str, function: str, name: str, count: int) -> None:
    """Die before or after the count-th os.rename or os.replace of a path with that name."""
    move, seen = getattr(os, function), []

    def dying(source, target):
        hit = name in str(target)
        seen.extend([target] * hit)
        if kind == "before" and hit and len(seen) == count:
            _kill()
        move(source, target)
        if kind == "after" and hit and len(seen) == count:
            _kill()

    setattr(os, function, dying)
