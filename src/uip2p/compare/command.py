"""`uip2p compare`: train the rows of a comparison, measure them all in one way, and print the table. One command
repeats it all, and goes on where it was stopped."""

from __future__ import annotations

import argparse
import gzip
import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from uip2p.compare.config import Comparison, RowConfig, comparison_names, load_comparison
from uip2p.compare.evaluation import Evaluation, Evaluator, curve_evaluations, sweep_evaluations, test_evaluations
from uip2p.compare.plots import draw
from uip2p.compare.results import assemble, samples, sweep_of
from uip2p.compare.tables import report
from uip2p.compare.training import plan, train_all, trainings
from uip2p.errors import UserError
from uip2p.evaluate.command import quiet_libraries
from uip2p.images import write_atomic
from uip2p.learning.recipes import family_and_stage, find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("comparison", metavar="NAME", help=f"{', '.join(comparison_names())}, or a .toml file")
    add("--only", nargs="+", default=[], metavar="ROW", help="train and measure these rows (names, or their folders')")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override every row's recipe")
    add("--jobs", type=int, default=2, help="processes at once; each has its share of the cores (default: 2)")
    add("--dry-run", action="store_true", help="print the plan, what is done and the hours that are left, and stop")
    add("--no-train", action="store_true", help="measure what is trained already, and nothing else")
    add("--out", type=Path, help="where the tables and curves go (default: docs/results/NAME)")


def run(args: argparse.Namespace) -> None:
    quiet_libraries()
    if args.jobs < 1:
        raise UserError("--jobs starts at 1")
    comparison = load_comparison(args.comparison, args.overrides)
    rows = comparison.select(args.only)
    if args.dry_run:
        print(plan(comparison, rows, args.jobs))
        return
    options = [argument for override in args.overrides for argument in ("--set", override)]
    options += ["--out", str(args.out)] if args.out else []
    out = args.out or Path("docs/results") / comparison.name
    faults = {} if args.no_train else train_all(comparison, rows, args.jobs)
    evaluator = Evaluator(find_judge(comparison), args.jobs)
    faults |= measure(comparison, rows, evaluator)
    results = assemble(comparison, evaluator, shlex.join(["uip2p", "compare", args.comparison, *options]))
    if results["rows"]:
        for path in write(comparison, results, samples(comparison, evaluator), out):
            print(path)
        print(f"\n{(out / 'table.md').read_text(encoding='utf-8')}")
    faults |= {training.name: fault for training in trainings(comparison, rows) if (fault := training.fault())}
    if missing := [training.name for training in trainings(comparison, rows) if not training.finished()]:
        print(f"not trained yet, and not in the table: {', '.join(missing)}")
    if faults:
        raise UserError("; ".join(f"{name} failed ({fault})" for name, fault in faults.items()))
    if not results["rows"]:
        raise UserError(f"comparison {comparison.name}: no row is trained yet, so there is nothing to measure.")


def find_judge(comparison: Comparison) -> Path:
    """The judge's folder: a stage of the rows' family, or a folder. UserError: it is neither."""
    family = family_and_stage(comparison.rows[0].recipe)[0]
    folder = Path(find(comparison.config.judge, comparison.config.root, family))
    if not folder.is_dir():
        raise UserError(
            f"comparison {comparison.name} [comparison]: judge is {comparison.config.judge!r}, "
            "which is no stage and no folder."
        )
    return folder


def measure(comparison: Comparison, rows: Sequence[RowConfig], evaluator: Evaluator) -> dict[str, str]:
    """Sweep, then test: all that is not known yet, of the trainings that are ready. Returns name → fault."""
    runs = [training for training in trainings(comparison, rows) if training.ready()]
    firsts = [training for training in runs if training.seed == training.row.seeds[0]]
    sweeps = [evaluation for training in firsts for evaluation in sweep_evaluations(training, comparison.config)]
    faults = evaluator.make(sweeps, "sweep")
    final: list[Evaluation] = []
    for training in runs:
        swept = sweep_of(training.row, comparison, evaluator)
        if swept is not None:
            _, sampling, _ = swept
            final += test_evaluations(training, comparison.config, sampling).values()
            for points in curve_evaluations(training, comparison.config, sampling).values():
                final += points.values()
    return faults | evaluator.make(final, "test")


def write(comparison: Comparison, results: dict[str, Any], cases: Iterable[dict[str, Any]], out: Path) -> list[Path]:
    """results.json, table.md, cases.jsonl.gz (what each model scored on each case) and the curves."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: this folder cannot be made ({error.strerror}). Give another with --out.") from error
    lines = "".join(json.dumps(_rounded(case)) + "\n" for case in cases)
    return [
        write_atomic(out / "results.json", (json.dumps(results, indent=1) + "\n").encode()),
        write_atomic(out / "table.md", report(results).encode()),
        write_atomic(out / "cases.jsonl.gz", gzip.compress(lines.encode(), mtime=0)),
        *draw(results, [row.name for row in comparison.rows], out),
    ]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
