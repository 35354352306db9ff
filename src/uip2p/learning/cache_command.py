"""`uip2p data cache`: compute once what a recipe would compute at every step."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from uip2p.datasets import open_records
from uip2p.errors import UserError
from uip2p.learning.cache import Variants, build_cache
from uip2p.learning.cycle import CycleObjective
from uip2p.learning.recipes import build, cache_key, family_and_stage, find, read_cycle, read_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--recipe", required=True, metavar="NAME", help="the recipe that will be trained")
    add("--data", required=True, type=Path, metavar="DIR", help="records: a folder, Parquet files, tar shards, a "
        "run of data generate")  # fmt: skip
    add("--out", required=True, type=Path, metavar="CACHE", help="then: uip2p train --recipe NAME --data CACHE")
    add("--base", metavar="MODEL", help="as for uip2p train")
    add("--crops", type=int, default=1, help="pictures of each record, the middle and others (default: 1)")
    add("--flips", action="store_true", help="mirrored pictures too, where no text says left or right")
    add("--root", type=Path, help="where earlier stages lie, as for uip2p train")
    add("--set", action="append", default=[], dest="overrides", metavar="TABLE.KEY=VALUE", help="as for uip2p train")


def run(args: argparse.Namespace) -> None:
    overrides = [*args.overrides, *([f'model.base="{args.base}"'] if args.base else [])]
    tables = read_recipe(args.recipe, overrides)
    if tables.get("objective") != "cycle":
        raise UserError(f"{args.recipe}: only cycle recipes read records, so only they have a cache.")
    family, _ = family_and_stage(args.recipe)
    root = args.root or Path("runs") / family
    data, config, _, _ = read_cycle(args.recipe, tables)
    source = open_records(args.data)
    objective = build(args.recipe, tables, root, args.data).objective
    assert isinstance(objective, CycleObjective)
    made_with = cache_key(config, data, lambda reference: find(reference, root, family))
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    objective.to(device(rank)).eval()
    variants = Variants(args.crops, args.flips)
    build_cache(objective, source, args.out, data.size, made_with, variants, rank, world, rank == 0, data.corrupt)
    if rank == 0:
        print(f"{args.out}: {len(source)} records. uip2p train --recipe {args.recipe} --data {args.out}")


def device(rank: int) -> str:
    import torch

    return f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
