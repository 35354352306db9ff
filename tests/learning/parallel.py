"""What one rank of several does in the tests of parallel training."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from torch.profiler import ProfilerActivity, profile
from toy import Denoiser, Discs

from uip2p.cli import main
from uip2p.learning import command
from uip2p.learning.cycle import CycleObjective
from uip2p.learning.trainer import TrainConfig, train


def cli(argv: list[str], dies: tuple[int, int] | None = None) -> None:
    """The command line. dies: the rank that is killed, and at which step."""
    if dies is not None and int(os.environ["RANK"]) == dies[0]:
        forward = CycleObjective.forward

        def dying(self, batch, draw):
            if draw.step == dies[1]:
                os.kill(os.getpid(), signal.SIGKILL)
            return forward(self, batch, draw)

        CycleObjective.forward = dying
    command.print_plan = lambda *_: None  # to count a step takes longer than to take all twenty
    sys.exit(main(argv))


def train_toy(out: Path, folders: bool = False, **settings) -> None:
    """The small training of toy.py. folders: each rank names another folder, as nodes without a common disk would."""
    out = out / os.environ["RANK"] if folders else out
    train(Denoiser(), Discs(0), TrainConfig(**{"batch_size": 8, "ema_decay": 0.5} | settings), out, Discs(1))


def count_collectives(out: Path) -> None:
    """Print, as JSON, how many collectives of each kind trainings of 2 and 4 steps take, in one part and in four."""
    found = {}
    for shard in (False, True):
        for parts in (1, 4):
            counts = []
            for steps in (2, 4):
                with profile(activities=[ProfilerActivity.CPU]) as profiler:
                    train_toy(out / f"{shard}{parts}{steps}", steps=steps, accumulate=parts, shard=shard, log_every=99)
                counts.append(Counter(event.name for event in profiler.events() if event.name.startswith("gloo:")))
            each = {name: (counts[1][name] - counts[0][name]) / 2 for name in counts[1]}
            found[f"{'sharded' if shard else 'replicated'} {parts}"] = {k: v for k, v in each.items() if v}
    print(f"COUNTED {json.dumps(found)}")
