"""A run of the suite vlm, in this process or in one of its own."""

from __future__ import annotations

import multiprocessing
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uip2p.evaluate.benchmark import shard_of
from uip2p.evaluate.editors.baselines import baseline
from uip2p.evaluate.meter import Judged
from uip2p.evaluate.running import Runner
from uip2p.evaluate.runs import Run
from uip2p.evaluate.suites import Row, vlm


class NoFigures:
    """The suite asks for no figure but the judge's."""

    def describe(self) -> dict[str, Any]:
        return {}

    def measure(self, judged: Sequence[Judged]) -> list[dict[str, float]]:
        return [{} for _ in judged]


def run(out: str | Path, batch_size: int = 4, **options: Any) -> Run | None:
    """options: as the command line would set them."""
    args = Namespace(out=out, **{"seeds": None, "seed": 0, "shard": None} | options)
    suite = vlm.build(args)
    found = [(name, baseline(name, [])) for name in suite.baselines]
    rows = [*(Row(name, editor, name, baseline=True) for name, editor in found if editor), *suite.rows([])]
    shard = shard_of(args.shard)
    return Runner(suite, rows, NoFigures(), Path(out), args.seeds or (args.seed,), shard, batch_size,
                  "uip2p evaluate", progress=False).run()  # fmt: skip


def start(out: Path, **options: Any) -> Any:
    """The same run in a process that may be killed: forked, since it needs no more of torch than small sums, and all of
    it is imported here."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(out,), kwargs=options)
    process.start()
    return process
