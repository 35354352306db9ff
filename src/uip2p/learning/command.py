"""`uip2p train`: one recipe, or every stage of a family. The same command goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.learning.card import write_card
from uip2p.learning.journal import Journal
from uip2p.learning.plan import Plan, available, describe, make_plan, switches
from uip2p.learning.recipes import build, family_and_stage, find, read_cycle, read_recipe, recipe_names
from uip2p.learning.trainer import train

# A family of recipes → its stages, in the order in which one needs another. Recipe `study-base` is stage `base` of
# `study`. `mini`: the whole miniature. `study`: what the rows of a comparison share; `uip2p compare` trains them.
FAMILIES = {
    "mini": ("autoencoder", "clip", "judge", "base", "cycle", "paired"),
    "study": ("autoencoder", "clip", "judge", "base"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        required=True,
        metavar="NAME",
        help=f"{' or '.join(FAMILIES)} (every stage of it), {', '.join(recipe_names())}, or a .toml file",
    )
    parser.add_argument(
        "--root", type=Path, help="where stages find each other's models (default: runs/mini, runs/study … by recipe)"
    )
    parser.add_argument("--out", type=Path, help="this run's folder (default: in the root, by the stage's name)")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="your own pictures: a folder with metadata.jsonl (cycle and latent-clip recipes)",
    )
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help="fine-tune this one instead of the recipe's: a folder, a hub id (owner/name, owner/name@revision) or a "
        "single .safetensors file, of Stable Diffusion, SDXL or InstructPix2Pix",
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
    if args.base:
        args.overrides.append(f"model.base={json.dumps(args.base)}")
    if args.recipe in FAMILIES:
        if args.out or args.data:
            raise UserError(f"--recipe {args.recipe} runs several stages: it takes --root, not --out or --data")
        train_family(args.recipe, args.root, args.overrides, args.dry_run)
    else:
        train_recipe(args.recipe, args.out, args.root, args.overrides, args.data, args.dry_run)


def train_family(family: str, root: Path | None = None, overrides: Sequence[str] = (), dry_run: bool = False) -> None:
    """Every stage of a family of recipes, in order. Finished stages are passed over."""
    recipes = [f"{family}-{stage}" for stage in FAMILIES[family]]
    print(f"{family}, from nothing:")
    for recipe in recipes:
        print(f"  {family_and_stage(recipe)[1]:12} {read_recipe(recipe, overrides).get('about', '')}")
    if dry_run:
        return
    for recipe in recipes:
        train_recipe(recipe, root=root, overrides=overrides)


def train_recipe(
    name: str,
    out: Path | None = None,
    root: Path | None = None,
    overrides: Sequence[str] = (),
    data: Path | None = None,
    dry_run: bool = False,
) -> Path:
    """Train one recipe and return its folder: `model` is the result, `metrics.jsonl` the way to it.

    root: where earlier stages lie, by default runs/<family>. out: by default root/<stage>.
    """
    family, stage = family_and_stage(name)
    root = root or Path("runs") / family
    out = out or root / stage
    tables = read_recipe(name, overrides)
    first = int(os.environ.get("RANK", 0)) == 0  # of several processes, the one that speaks
    if first:
        print(f"{name}: {tables.get('about', '')}")
    if first and tables.get("objective") == "cycle" and (dry_run or tables.get("data", {}).get("own")):
        print_plan(name, root, overrides, out)
    if dry_run:
        print(json.dumps(tables, indent=2, default=str))
        return out
    run_ = build(name, tables, root, data, out)
    result = train(run_.objective, run_.dataset, run_.train, out, run_.validation, recipe=deciding(tables, data))
    if not result.finished:
        raise KeyboardInterrupt  # it is saved; the next stage must not start
    if first and tables["objective"] == "cycle":
        sets = [argument for override in overrides for argument in ("--set", override)]
        command = ["uip2p", "train", "--recipe", name, *(["--data", data.name] if data else []), *sets]
        write_card(out, name, tables, find(tables["model"]["base"], root, family), data, command)
    return out


def print_plan(name: str, root: Path, overrides: Sequence[str], out: Path) -> None:
    """Memory and time of a cycle recipe, and what helps where the memory of this machine is too small."""

    def plan_with(more: Sequence[str] = ()) -> Plan:
        tables = read_recipe(name, [*overrides, *more])
        data, editor, loss, config = read_cycle(name, tables)
        step = (editor, loss, data.size)
        for known, plan in counted:  # how many pictures at once, or which optimizer: the step is the same
            if known == step:
                return replace(plan, train=config)
        plan = make_plan(editor, loss, config, data.size, lambda reference: find(reference, root, family))
        counted.append((step, plan))
        return plan

    counted: list[tuple[Any, Plan]] = []
    family, _ = family_and_stage(name)
    plan = plan_with()
    rows = [row for row in Journal.read(out / "metrics.jsonl") if "images_per_second" in row]
    print(describe(plan, rows[-1]["images_per_second"] if rows else None))
    there, what = available()
    if plan.total > there:
        print(f"That is more than the {there / 1e9:.1f} GB of {what}. What helps:")
        print("\n".join(f"  {line}" for line in switches(plan, plan_with)))


def deciding(tables: dict[str, Any], data: Path | None = None) -> dict[str, Any]:
    """What of a recipe decides the training beside [train]: a run is resumed only with the same. Not data.corrupt,
    which only says when to stop: raised, the run goes on."""
    decides = {table: tables[table] for table in tables if table not in ("about", "settings", "train")}
    if "data" in decides:
        decides["data"] = {name: value for name, value in decides["data"].items() if name != "corrupt"}
    return decides | {"records": str(data) if data else None}
