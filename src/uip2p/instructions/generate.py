"""The run: captions in, accepted edits out, shard by shard. The same command goes on where it was stopped.

    generate(Config(SourceConfig("photos")), Path("edits"))

Shards do not depend on each other, so any process may do any of them: this one, several of this machine, the actors of
a Ray cluster (`ray_engine`), or, where RANK and WORLD_SIZE are set, several runs that share the folder's shards out.
What a shard's files are is in `shards`; config.json is what was asked for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from uip2p.errors import UserError
from uip2p.instructions import ray_engine
from uip2p.instructions.config import Config, Engine, described
from uip2p.instructions.shards import SUFFIXES, Counts, finished, read_journal, total_counts
from uip2p.instructions.worker import MakeWriter, Worker
from uip2p.instructions.writers import free, open_writer
from uip2p.learning import checkpoint
from uip2p.learning.journal import Stop, check_config, locked

CONFIG = "config.json"


def generate(
    config: Config, out: Path, engine: Engine = Engine(), make_writer: MakeWriter = open_writer, quiet: bool = False  # noqa: B008 (frozen)
) -> Counts:  # fmt: skip
    """Do what is left of a run. Returns the counts of the whole run so far.

    Ctrl-C or SIGTERM: no caption is begun any more, those in hand are finished, and KeyboardInterrupt says so.
    UserError: another run is at work in `out` or was asked for something else there; the source, the writer or the disk
    is at fault. In any case what was done stays, and the same command goes on.
    """
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    alone = world == 1
    if config.writer.name == "endpoint" and (engine.workers > 1 or engine.name == "ray" or not alone):
        raise UserError(
            "one process asks an endpoint, --concurrency calls at a time, so that caps hold for all of them: leave out "
            "--engine, --workers and other ranks."
        )
    with Stop() as stop, locked(out, SUFFIXES if alone else None, "writing edits", "lock" if alone else f"lock.{rank}"):
        done = so_far(out)
        worker = Worker(config, out, make_writer, done)
        # The same captions may lie elsewhere by now: whether they are the same, their count and names say.
        may_change = {"source.path", *(f"writer.options.{name}" for name in free(config.writer.name))}
        check_config(out / CONFIG, described(config, worker.source, worker.writer), may_change, "run")
        there = set(finished(out))
        todo = [shard.number for shard in worker.shards if shard.number not in there]
        mine = [number for number in todo if number % world == rank]
        rows = [shard.rows for shard in worker.shards]
        bar = Bar(done, sum(rows) if None not in rows else None, quiet)  # type: ignore[arg-type]
        ways: dict[str, Callable[[], Iterator[Counts]]] = {
            "local": lambda: worker.work(mine, lambda: stop.asked),
            "processes": lambda: in_processes(config, out, mine, engine.workers, make_writer, lambda: stop.asked),
            "ray": lambda: ray_engine.run(config, out, mine, engine, make_writer, lambda: stop.asked),
        }
        with bar:
            for counts in ways["processes" if engine.name == "local" and engine.workers > 1 else engine.name]():
                bar.add(counts)
        for folder in SUFFIXES if alone else ():  # what a process left that died, and whose shard another did
            checkpoint.remove_leftovers(out / folder)
        if stop.asked and set(finished(out)) < {shard.number for shard in worker.shards}:
            if not quiet:
                print(f"{out}: stopped, everything that was done is kept; run the same command again to go on.")
            raise KeyboardInterrupt
    return bar.total


def so_far(out: Path) -> Counts:
    """Of finished shards, and of the journals of those in progress."""
    there = set(finished(out))
    begun = [path for path in (out / "journal").glob("*.jsonl") if int(path.stem) not in there]
    return sum((Counts.of(read_journal(path)) for path in begun), total_counts(out))


class Bar:
    """Captions done of all, captions a second, and the share of edits that are kept."""

    def __init__(self, done: Counts, total: int | None, quiet: bool):
        self.total = done
        seldom = 0.5 if sys.stderr.isatty() else 30
        style = {"unit": " captions", "dynamic_ncols": True, "mininterval": seldom}
        self.bar = tqdm(initial=done.captions, total=total, disable=quiet, **style)

    def add(self, counts: Counts) -> None:
        self.total = self.total + counts
        kept = self.total.accepted / max(1, self.total.proposed)
        self.bar.set_postfix_str(f"{kept:.0%} of {self.total.proposed:,} edits kept", refresh=False)
        self.bar.update(counts.captions)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


# ---- several processes of this machine ---------------------------------------------------------------


def in_processes(
    config: Config, out: Path, numbers: list[int], workers: int, make_writer: MakeWriter, stopped: Callable[[], bool]
) -> Iterator[Counts]:
    """A shard a task, each process with a worker of its own. Yields the counts of what was done, shard by shard.

    UserError: as a worker's, or a process died.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    left, running = iter(numbers), set[Future[Counts]]()
    with ProcessPoolExecutor(workers, context, _begin, (config, out, make_writer, stop)) as pool:
        try:
            while True:
                more = () if stopped() else islice(left, 2 * workers - len(running))
                running |= {pool.submit(_do, number) for number in more}
                if not running:
                    return
                done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                if stopped():
                    stop.set()
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            if not stopped():  # a scheduler's SIGTERM reaches all processes at once
                raise UserError(
                    f"{out}: a worker process died (most often for want of memory). What was done is kept: run the "
                    "same command again, with fewer --workers."
                ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _begin(config: Config, out: Path, make_writer: MakeWriter, stop: Any) -> None:
    """In a new process. Ctrl-C is the parent's business; without the parent there is nothing to do."""
    global _worker, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _worker, _stop = Worker(config, out, make_writer, Counts()), stop


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _do(number: int) -> Counts:
    return sum(_worker.work([number], _stop.is_set), Counts())


_worker: Worker
_stop: Any
