"""`uip2p study`: train the rows of a study, measure them all in one way, and print the table. One command repeats it
all, and goes on where it was stopped."""

from __future__ import annotations

import argparse
import gzip
import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.evaluate.command import quiet_libraries
from uip2p.images import write_atomic
from uip2p.learning.recipes import family_and_stage, find
from uip2p.study.config import RowConfig, Study, load_study, study_names
from uip2p.study.evaluation import Evaluation, Evaluator, curve_evaluations, sweep_evaluations, test_evaluations
from uip2p.study.plots import draw
from uip2p.study.results import assemble, samples, sweep_of
from uip2p.study.tables import report
from uip2p.study.training import plan, train_all, trainings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", metavar="NAME", help=f"{', '.join(study_names())}, or a .toml file")
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
    study = load_study(args.study, args.overrides)
    rows = study.select(args.only)
    if args.dry_run:
        print(plan(study, rows, args.jobs))
        return
    options = [argument for override in args.overrides for argument in ("--set", override)]
    options += ["--out", str(args.out)] if args.out else []
    out = args.out or Path("docs/results") / study.name
    faults = {} if args.no_train else train_all(study, rows, args.jobs)
    evaluator = Evaluator(find_judge(study), args.jobs)
    faults |= measure(study, rows, evaluator)
    results = assemble(study, evaluator, shlex.join(["uip2p", "study", args.study, *options]))
    if results["rows"]:
        for path in write(study, results, samples(study, evaluator), out):
            print(path)
        print(f"\n{(out / 'table.md').read_text(encoding='utf-8')}")
    faults |= {training.name: fault for training in trainings(study, rows) if (fault := training.fault())}
    if missing := [training.name for training in trainings(study, rows) if not training.finished()]:
        print(f"not trained yet, and not in the table: {', '.join(missing)}")
    if faults:
        raise UserError("; ".join(f"{name} failed ({fault})" for name, fault in faults.items()))
    if not results["rows"]:
        raise UserError(f"study {study.name}: no row is trained yet, so there is nothing to measure.")


def find_judge(study: Study) -> Path:
    """The judge's folder: a stage of the rows' family, or a folder. UserError: it is neither."""
    family = family_and_stage(study.rows[0].recipe)[0]
    folder = Path(find(study.config.judge, study.config.root, family))
    if not folder.is_dir():
        raise UserError(
            f"study {study.name} [study]: judge is {study.config.judge!r}, which is no stage and no folder."
        )
    return folder


def measure(study: Study, rows: Sequence[RowConfig], evaluator: Evaluator) -> dict[str, str]:
    """Sweep, then test: all that is not known yet, of the trainings that are ready. Returns name → fault."""
    runs = [training for training in trainings(study, rows) if training.ready()]
    firsts = [training for training in runs if training.seed == training.row.seeds[0]]
    sweeps = [evaluation for training in firsts for evaluation in sweep_evaluations(training, study.config)]
    faults = evaluator.make(sweeps, "sweep")
    final: list[Evaluation] = []
    for training in runs:
        swept = sweep_of(training.row, study, evaluator)
        if swept is not None:
            _, sampling, _ = swept
            final += test_evaluations(training, study.config, sampling).values()
            for points in curve_evaluations(training, study.config, sampling).values():
                final += points.values()
    return faults | evaluator.make(final, "test")


def write(study: Study, results: dict[str, Any], cases: Iterable[dict[str, Any]], out: Path) -> list[Path]:
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
        *draw(results, [row.name for row in study.rows], out),
    ]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
