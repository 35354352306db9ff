"""The run on Ray Data: numbers of shards in, Parquet shards out. Actors hold a worker each (`worker.Worker`) and write
where every process of the run writes, so the folder and the source lie on a disk that all machines share.

An actor that dies is started again, and the shard that it had goes on from its journal.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.config import Config, Engine
from uip2p.instructions.shards import Counts
from uip2p.instructions.worker import MakeWriter, Worker


def run(
    config: Config, out: Path, numbers: list[int], engine: Engine, make_writer: MakeWriter, stopped: Callable[[], bool]
) -> Iterator[Counts]:  # fmt: skip
    """Do these shards on a cluster. Yields the counts of what was done, shard by shard. UserError: as a worker's, or
    there is no Ray or no cluster."""
    if not numbers:
        return
    ray = start(engine)
    try:
        tasks = ray.data.from_items([{"shard": number} for number in numbers], override_num_blocks=len(numbers))
        done = tasks.map_batches(
            Actor, fn_constructor_args=(config, out, make_writer), batch_size=1, num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=engine.workers),
        )  # fmt: skip
        for row in done.iter_rows():
            if row["error"]:
                raise UserError(row["error"])
            yield Counts.from_json(json.loads(row["counts"]))
            if stopped():
                return
    finally:
        ray.shutdown()


def start(engine: Engine) -> Any:
    """The module `ray`, with a cluster: the one at the engine's address, or one of this machine's own."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of a change to come
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'uip2p[scale]'.") from None

    options: dict[str, Any] = {"address": engine.address} if engine.address else {
        "address": "local", "num_cpus": engine.workers + 1, "include_dashboard": False,
    }  # fmt: skip
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    except Exception as error:  # Ray's own, the system's, the network's
        raise UserError(f"--ray-address {engine.address or 'local'}: no cluster can be had ({error}).") from error
    ray.data.DataContext.get_current().enable_progress_bars = False  # the run has its own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


class Actor:
    """A worker on some machine. What went wrong is an answer: exceptions arrive with a traceback in their message."""

    def __init__(self, config: Config, out: Path, make_writer: MakeWriter):
        self.error = ""
        try:
            self.worker = Worker(config, out, make_writer, Counts())
        except UserError as error:
            self.error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        counts = Counts()
        try:
            if not self.error:
                counts = sum(self.worker.work([int(batch["shard"][0])]), Counts())
        except UserError as error:
            return {"counts": [json.dumps(counts.to_json())], "error": [str(error)]}
        return {"counts": [json.dumps(counts.to_json())], "error": [self.error]}
