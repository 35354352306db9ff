"""`uip2p train`: one recipe, or every stage of the miniature. The same command goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from uip2p.errors import UserError
from uip2p.learning.recipes import build, read_recipe, recipe_names
from uip2p.learning.trainer import train

# The whole miniature, in the order in which one stage needs another: recipe and the name that later stages use.
MINIATURE = (
    ("mini-autoencoder", "autoencoder"),
    ("mini-clip", "clip"),
    ("mini-judge", "judge"),
    ("mini-base", "base"),
    ("mini-start", "start"),
    ("mini-cycle", "cycle"),
    ("mini-finish", "finish"),
    ("mini-paired", "paired"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        required=True,
        metavar="NAME",
        help=f"mini (every stage of the miniature), {', '.join(recipe_names())}, or a .toml file",
    )
    parser.add_argument("--root", type=Path, default=Path("runs/mini"), help="where stages find each other's models")
    parser.add_argument("--out", type=Path, help="this run's folder (default: in the root, by the recipe's name)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="your own pictures: a folder with metadata.jsonl (cycle recipes)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        dest="overrides",
        help="change a field of the recipe, for example train.steps=100",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the recipe and what it costs, and stop")


def run(args: argparse.Namespace) -> None:
    if args.recipe == "mini":
        if args.out or args.data:
            raise UserError("--recipe mini runs several stages: it takes --root, not --out or --data")
        train_miniature(args.root, args.overrides, args.dry_run)
    else:
        train_recipe(args.recipe, args.out, args.root, args.overrides, args.data, args.dry_run)


def train_miniature(root: Path, overrides: Sequence[str] = (), dry_run: bool = False) -> None:
    """Autoencoder, both CLIPs, base, cycle and the supervised baseline. Finished stages are passed over."""
    print("The miniature from nothing:")
    for recipe, stage in MINIATURE:
        print(f"  {stage:12} {read_recipe(recipe, overrides).get('about', '')}")
    if dry_run:
        return
    for recipe, stage in MINIATURE:
        train_recipe(recipe, root / stage, root, overrides)


def train_recipe(
    name: str,
    out: Path | None = None,
    root: Path = Path("runs/mini"),
    overrides: Sequence[str] = (),
    data: Path | None = None,
    dry_run: bool = False,
) -> Path:
    """Train one recipe and return its folder: `model` is the result, `metrics.jsonl` the way to it."""
    stages = dict(MINIATURE)
    out = out or root / stages.get(name, Path(name).stem)
    tables = read_recipe(name, overrides)
    print(f"{name}: {tables.get('about', '')}")
    if dry_run:
        print(json.dumps(tables, indent=2, default=str))
        return out
    run_ = build(name, tables, root, data)
    decides = {table: tables[table] for table in tables if table not in ("about", "settings", "train")}
    recipe = decides | {"records": str(data) if data else None}
    result = train(run_.objective, run_.dataset, run_.train, out, run_.validation, recipe=recipe)
    if not result.finished:
        raise KeyboardInterrupt  # it is saved; the next stage must not start
    return out
