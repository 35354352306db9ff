"""Several processes as one. The first alone reads and writes the run's folder; the others get from it what they need.
So the folder need not be on a file system that they share, and what goes wrong there goes wrong everywhere alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from uip2p.errors import UserError, first_line
from uip2p.learning.checkpoint import Tensors, list_steps

T = TypeVar("T")
GONE = ("gloo", "connection closed", "connection reset", "nccl", "tcpstore", "broken pipe")


def from_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """What `work` gave on the first process, on every process. Its UserError is raised on every process too, so that
    nobody waits for one that has given up."""
    answer: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            answer[0] = work()
        except UserError as error:
            if accelerator.num_processes == 1:
                raise
            answer[1] = str(error)
    if accelerator.num_processes > 1:
        broadcast_object_list(answer)
    if answer[1] is not None:
        raise UserError(answer[1])
    return answer[0]


def share(accelerator: Accelerator, tensors: Tensors) -> Tensors:
    """The first process's tensors, on every process, on the CPU; what the others give is not looked at."""
    if accelerator.num_processes == 1:
        return tensors
    shapes = from_main(accelerator, lambda: {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()})
    found = {}
    for name, (shape, dtype) in shapes.items():
        mine = tensors[name] if accelerator.is_main_process else torch.empty(shape, dtype=dtype)
        there = mine.to(accelerator.device).contiguous()
        dist.broadcast(there, 0)
        found[name] = there.cpu()
    return found


@contextmanager
def together(accelerator: Accelerator, out: Path) -> Iterator[None]:
    """A connection that breaks becomes a UserError that says what to do: what stands behind it is another process that
    has died, and only whoever started them all knows which."""
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not _is_lost(error):
            raise
        steps = list_steps(out / "checkpoints")
        step = int(steps[-1].name[5:]) if steps else 0
        raise UserError(
            f"process {accelerator.process_index} of {accelerator.num_processes} lost the others: one of them has died "
            f"or cannot be reached ({first_line(error)}). Its own last words, or the launcher's report of its rank and "
            "exit code, say why (-9: killed, mostly for memory). Then run the same command again: it goes on from step "
            f"{step}."
        ) from error


def _is_lost(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in GONE)
