"""`uip2p evaluate --suite … --out RUN`: a benchmark's options, editors, meter and runner put together."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from uip2p.errors import UserError
from uip2p.evaluate import meter_options
from uip2p.evaluate.asking import Sampling
from uip2p.evaluate.editors import Editor, open_editor, require
from uip2p.evaluate.editors.baselines import baseline
from uip2p.evaluate.running import Runner, Shard
from uip2p.evaluate.runs import TABLE
from uip2p.evaluate.suites import SUITES, Row, Suite
from uip2p.evaluate.suites.on import ON, chosen
from uip2p.evaluate.tables import text

WHOSE = "a run's folder"  # whose options these are, in errors


class Options:
    """The suites' options under one parser. One that several suites take stands once; who takes which is remembered,
    so that an option of another suite is an error and not ignored. All are absent unless given."""

    def __init__(self, parser: argparse.ArgumentParser):
        self.parser = parser
        self.flags: dict[str, str] = {}
        self.owners: dict[str, set[str]] = {}

    def of(self, title: str, *owners: str) -> _Group:
        """A group of the help, whose options the owners take: suites, or WHOSE."""
        return _Group(self, self.parser.add_argument_group(title), owners)


class _Group:
    def __init__(self, options: Options, group: Any, owners: Sequence[str]):
        self.options, self.group, self.owners = options, group, owners

    def to(self, *owners: str) -> _Group:
        """The same group of the help, for options that others take."""
        return _Group(self.options, self.group, owners)

    def add_argument(self, *flags: str, **settings: Any) -> None:
        known, flag = self.options.flags, flags[0]
        if flag not in known:
            known[flag] = self.group.add_argument(*flags, **{"default": argparse.SUPPRESS, **settings}).dest
        self.options.owners.setdefault(known[flag], set()).update(self.owners)


def add_arguments(options: Options) -> None:
    run = options.of("a run's folder: outputs, figures and table, of any suite but clip and reversibility", WHOSE)
    run.add_argument("--out", type=Path, metavar="RUN", help="where it goes; the same command goes on where it stopped")
    run.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="replicates of every edit (default: --seed)")
    run.add_argument("--shard", metavar="I/N", help="this process's share: 0/N to N-1/N (default: torchrun's)")
    run.add_argument("--autoencoder", metavar="SPEC", help="whose round trip is a row (default: the first there is)")
    run.add_argument("--scheduler", help="such as euler-ancestral or ddim (default: the protocol's)")
    run.add_argument("--working-size", type=int, metavar="PX", help="edit in a square of this size (default: likewise)")
    run.add_argument("--device", help="cpu, cuda, cuda:1, … (default: the best there is)")
    run.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), help="of the editors (default: fp32)")
    meter_options.add_arguments(options.of("figures of a run", WHOSE))
    for suite, module in SUITES.items():
        importlib.import_module(module).add_arguments(options.of(f"suite {suite}", suite))
    options.parser.set_defaults(owners=options.owners)


def check_arguments(args: argparse.Namespace) -> None:
    """UserError: an option that what is asked for does not take."""
    taken = {args.suite, *([WHOSE] if hasattr(args, "out") else ()), *([chosen(args)] if args.suite in ON else ())}
    for name, owners in args.owners.items():
        if hasattr(args, name) and not owners & taken and not (name == "clip" and args.suite == "reversibility"):
            flag = f"--{name.replace('_', '-')}"
            if owners == {WHOSE}:
                raise UserError(f"{flag} is for a run's folder: give --out RUN, and a suite that writes one.")
            asked = f"{args.suite} --on {chosen(args)}" if args.suite in ON else args.suite
            raise UserError(f"{flag} is for suite {' or '.join(sorted(owners - {WHOSE}))}, not {asked}.")


def run(args: argparse.Namespace) -> None:
    """UserError: bad options, or what an editor, a suite or a figure needs is not there."""
    shard = shard_of(getattr(args, "shard", None))
    args.device = getattr(args, "device", None) or local_device()
    args.seeds = getattr(args, "seeds", None)
    args.editors = [opened(args, spec) for spec in args.model]
    autoencoder = opened(args, args.autoencoder) if hasattr(args, "autoencoder") else None
    suite: Suite = importlib.import_module(SUITES[args.suite]).build(args)
    suite, rows = rows_of(suite, args.editors, autoencoder, sampling_of(args))
    meter = meter_options.build_meter(
        args, suite.captions, figures=suite.metrics, own_clip="ip2p" in (args.suite, getattr(args, "on", None))
    )
    seeds = args.seeds or (args.seed,)
    command = shlex.join(["uip2p", *sys.argv[1:]])
    done = Runner(suite, rows, meter, args.out, seeds, shard, args.batch_size, command).run()
    if done is not None:
        print(text(done))
        print(f"{done.folder / TABLE}: intervals, and what differs.")
        print(f"One page of it all: {shlex.join(['uip2p', 'report', str(done.folder)])}")


def opened(args: argparse.Namespace, spec: str) -> Editor:
    return open_editor(spec, args.device, getattr(args, "dtype", "fp32"), args.batch_size)


def rows_of(
    suite: Suite, editors: Sequence[Editor], autoencoder: Editor | None, told: Sampling
) -> tuple[Suite, list[Row]]:
    """The suite, sampled as the command line says where it says something, and its rows: the baselines, then the
    editors'. UserError: what the command line says cannot be told to one of them."""
    for editor in editors:
        require(editor, *(name for name, value in asdict(told).items() if value is not None))
    suite = replace(suite, sampling=told.over(suite.sampling))
    rows = []
    for name in suite.baselines:
        found = baseline(name, editors, autoencoder)
        if found is None:
            lacking = "no editor here shows its autoencoder. Name one that does: --autoencoder SPEC."
            print(f"without the row {name!r}: {lacking}", file=sys.stderr)
        else:
            rows.append(Row(name, found.sampled(suite.sampling), name, baseline=True))
    return suite, [*rows, *suite.rows(editors)]


def sampling_of(args: argparse.Namespace) -> Sampling:
    scheduler, size = getattr(args, "scheduler", None), getattr(args, "working_size", None)
    return Sampling(args.steps, args.guidance, args.image_guidance, scheduler, size)


def shard_of(text: str | None) -> Shard:
    """"i/n"; None: torchrun's rank, or all there is. UserError: it is neither."""
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
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank is not None and torch.cuda.is_available() else None
