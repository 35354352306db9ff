"""Time, memory and operations of a step; the device's limit in the same run."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, register_flop_formula

from uip2p.evaluate.rows import commit, versions
from uip2p.learning.plan import measure_flops

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@register_flop_formula(torch.ops.aten.mkldnn_convolution)
def _(x_shape: Any, w_shape: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """What `models.fast` calls by name, and torch does not count."""
    return conv_flop_count(x_shape, w_shape, out_shape)


@dataclass
class Measured:
    """seconds: of each round. peak: bytes of tensors alive at once beyond those before. flops: of one step."""

    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    flops: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        return (max(self.seconds) - min(self.seconds)) / self.median


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(step: Callable[[], Any], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    step()
    synchronise(device)
    return time.perf_counter() - began


def count(step: Callable[[], Any], device: torch.device) -> tuple[int, float]:
    """(peak bytes, operations) of one step, two a multiply-add. On a CPU every allocation is followed, as a process's
    resident memory also shows what was freed and kept."""
    with FlopCounterMode(display=False) as counter:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step()
            return torch.cuda.max_memory_allocated() - before, float(counter.get_total_flops())
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
            step()
    alive = peak = 0
    for event in watched.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak, float(counter.get_total_flops())


@contextmanager
def resident() -> Iterator[list[int]]:
    """[bytes that the process had at most above what it has now], sampled every 10 ms."""
    process, peak, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def profiled(step: Callable[[], Any], device: torch.device) -> None:
    """Prints the operations that take most of a step's time."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as watched:
        timed(step, device)
    order = f"self_{device.type}_time_total"
    print(watched.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=60))


def limit(device: torch.device, precision: str, seconds: float = 1.0) -> float:
    """Operations a second that this device reaches at best, by a large product or a large convolution."""
    return max(measure_flops(precision, seconds=seconds), _convolution(device, DTYPES[precision], seconds))


def _convolution(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    batch = 64 if device.type == "cuda" else 1
    x = torch.randn(batch, 256, 64, 64, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    run = lambda: F.conv2d(x, weight, padding=1)  # noqa: E731
    run()
    repeats = max(1, round(seconds / max(timed(run, device), 1e-4)))

    def often() -> None:  # and let go of each result: a GPU makes hundreds of them in a second
        for _ in range(repeats):
            run()

    took = timed(often, device)
    return repeats * 2 * batch * 64 * 64 * 256 * 256 * 9 / took


def interleave(steps: dict[str, Callable[[int], float]], rounds: int, say: bool = True) -> dict[str, list[float]]:
    """A B C A B C …: name → seconds of each round. A step takes the round's number and returns its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name, step in steps.items():
            seconds[name].append(step(number))
            if say:
                print(f"round {number + 1}/{rounds} {name:12} {seconds[name][-1]:8.3f} s", flush=True)
    return seconds


def where(device: torch.device) -> str:
    """What a figure was measured on."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}; commit {commit()}; {json.dumps(versions())}"
