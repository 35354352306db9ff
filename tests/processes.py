"""Processes of a test's own, forked where torch is imported already: one that trains alone, or several that train
together with gloo, as a launcher would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
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
    os.setsid()
    file = os.open(f"{log}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    target(*args)
