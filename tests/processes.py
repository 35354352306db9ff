"""Processes of a test's own, forked where torch is imported already: one that trains alone, several that train
together with gloo, as a launcher would start them, or one for what would stay in the tests' own."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["torch", "torch._dynamo", "accelerate", "toy", "uip2p.learning.trainer", "uip2p.learning.command", "peft"]
)


def start_ranks(target: Callable, args: Sequence[Any], log: Path, world: int = 2) -> list[Any]:
    """`world` processes that call `target(*args)` each; what they say is in `log`.<rank>."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [context.Process(target=_rank, args=(rank, world, port, log, target, args)) for rank in range(world)]
    for process in processes:
        process.start()
    return processes


def alone(target: Callable, *args: Any, log: Path, timeout: float = 120) -> tuple[int, str]:
    """Call `target(*args)` in a process of its own: its exit code, and what it said, which is in `log` too."""
    process = context.Process(target=_to_log, args=(log, target, args))
    process.start()
    return exit_codes([process], timeout)[0], log.read_text(encoding="utf-8")


def each_command(commands: Sequence[list[str]]) -> None:
    """Each by `uip2p`; the process fails where one of them does."""
    from uip2p.cli import main

    sys.exit(any([main(command) for command in commands]))


def on_a_full_disk(arguments: Sequence[object]) -> None:
    """The command `uip2p` where no file may grow beyond 8,000 bytes: a limit that no process can take back."""
    from uip2p.cli import main

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
    sys.exit(main(list(map(str, arguments))))


def exit_codes(processes: Sequence[Any], timeout: float = 300) -> list[int]:
    """Wait for all of them. A negative number is the signal that ended the process."""
    end = time.monotonic() + timeout
    for process in processes:
        process.join(max(0, end - time.monotonic()))
    stuck = [rank for rank, process in enumerate(processes) if process.is_alive()]
    for rank in stuck:
        processes[rank].kill()
        processes[rank].join()
    assert not stuck, f"ranks {stuck} still alive after {timeout} s"
    return [process.exitcode for process in processes]


def _rank(rank: int, world: int, port: int, log: Path, target: Callable, args: Sequence[Any]) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    _to_log(Path(f"{log}.{rank}"), target, args)


def _to_log(log: Path, target: Callable, args: Sequence[Any]) -> None:
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    import torch

    torch.set_num_threads(1)
    target(*args)
