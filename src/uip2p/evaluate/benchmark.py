"""`uip2p evaluate --suite … --out RUN`: a benchmark's options, editors, meter and runner put together."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from uip2p.errors import UserError
from uip2p.evaluate.asking import Sampling
from uip2p.evaluate.editors import Editor, open_editor
from uip2p.evaluate.editors.baselines import baseline
from uip2p.evaluate.meter import add_arguments as add_meter_arguments
from uip2p.evaluate.meter import build_meter
from uip2p.evaluate.running import Runner, Shard
from uip2p.evaluate.suites import SUITES, Row, Suite


class Options:
    """The suites' options under one parser. One that several suites take stands once; who takes which is remembered,
    so that an option of another suite is an error and not ignored."""

    def __init__(self, group: Any):
        self.group, self.owners, self.suite = group, {}, ""
        self.flags: dict[str, str] = {}

    def of(self, suite: str) -> Options:
        self.suite = suite
        return self

    def add_argument(self, *flags: str, **settings: Any) -> None:
        if flags[0] not in self.flags:
            self.flags[flags[0]] = self.group.add_argument(*flags, **settings).dest
        self.owners.setdefault(self.flags[flags[0]], set()).add(self.suite)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("a run's folder (every suite but clip and reversibility)")
    run.add_argument("--out", metavar="RUN", help="outputs, figures and table; the same command goes on where it stopped")
    run.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="replicates of every edit (default: --seed)")
    run.add_argument("--shard", metavar="I/N", help="this process's share, from 0/N to N-1/N (default: torchrun's)")
    run.add_argument("--autoencoder", metavar="SPEC", help="whose round trip stands beside (default: the first that has)")
    run.add_argument("--scheduler", help="of every editor that can be told (default: the protocol's)")
    run.add_argument("--working-size", type=int, metavar="PX", help="pictures are edited in this size squared")
    run.add_argument("--device", help="cpu, cuda, cuda:1, … (default: the best there is)")
    run.add_argument("--dtype", default="fp32", help="of the editors: fp32, bf16 or fp16 (default: fp32)")
    add_meter_arguments(parser.add_argument_group("figures of a run"))
    options = Options(parser.add_argument_group("suites' own"))
    for suite, module in SUITES.items():
        importlib.import_module(module).add_arguments(options.of(suite))
    parser.set_defaults(suite_options=options.owners)


def check_arguments(args: argparse.Namespace) -> None:
    """UserError: an option of another suite."""
    for name, owners in args.suite_options.items():
        if hasattr(args, name) and args.suite not in owners and not _lends(args, owners):
            raise UserError(f"--{name.replace('_', '-')} is for suite {' or '.join(sorted(owners))}, not {args.suite}.")


def _lends(args: argparse.Namespace, owners: set[str]) -> bool:
    """A suite that is run on another's data takes its options too."""
    return getattr(args, "on", None) in owners


def run(args: argparse.Namespace) -> None:
    """UserError: bad options, or what an editor, a suite or a figure needs is not there."""
    check_arguments(args)
    shard, device = shard_of(args.shard), args.device or local_device()
    args.editors = [open_editor(spec, device, args.dtype, args.batch_size) for spec in args.model]
    autoencoder = open_editor(args.autoencoder, device, args.dtype, args.batch_size) if args.autoencoder else None
    suite: Suite = importlib.import_module(SUITES[args.suite]).build(args)
    runner = Runner(
        suite, rows_of(suite, args.editors, autoencoder, sampling_of(args)), build_meter(args, suite),
        args.out, args.seeds or (args.seed,), shard, args.batch_size, shlex.join(["uip2p", *sys.argv[1:]]),
    )  # fmt: skip
    done = runner.run()
    if done is not None:
        print((done.folder / "table.md").read_text(encoding="utf-8"))
        print(f"{done.folder}: outputs, figures and how they were made. One page of it: uip2p report {done.folder}")


def rows_of(suite: Suite, editors: Sequence[Editor], autoencoder: Editor | None, told: Sampling) -> list[Row]:
    """The baselines, then the editors' rows: what the command line says of sampling goes before the protocol."""
    for editor in editors:
        for name, value in told.__getstate__().items() if hasattr(told, "__getstate__") else ():
            if value is not None and name not in editor.tunable:
                raise UserError(f"{editor.name}: its {name} cannot be set. Leave the option out.")
    rows = suite.rows([editor.sampled(told) for editor in editors])
    known = []
    for name in suite.baselines:
        found = baseline(name, editors, autoencoder)
        if found is None:
            print(f"no row {name!r}: no editor here shows its autoencoder. Name one: --autoencoder SPEC.", file=sys.stderr)
        else:
            known.append(Row(name, found, name, baseline=True))
    return [*known, *rows]


def sampling_of(args: argparse.Namespace) -> Sampling:
    return Sampling(args.steps, args.guidance, args.image_guidance, args.scheduler, args.working_size)


def shard_of(text: str | None) -> Shard:
    """"i/n", or torchrun's rank. UserError: it is neither."""
    if text is None:
        return Shard(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        i, n = -1, 0
    if not 0 <= i < n:
        raise UserError(f"--shard {text}: write I/N with 0 ≤ I < N, such as 0/4.")
    return Shard(i, n)


def local_device() -> str | None:
    """The GPU that torchrun gave to this process; None: whatever is best."""
    import torch

    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank is not None and torch.cuda.is_available() else None
