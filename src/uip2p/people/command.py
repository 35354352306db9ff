"""`uip2p study create | serve | report`: ask people which edits are best, as the paper did."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from uip2p.errors import UserError
from uip2p.people.answers import Answers
from uip2p.people.study import ANSWERS_FILE, key_path, load_key, load_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="study_verb", required=True, metavar="create | serve | report")

    verb = verbs.add_parser("create", help="blind the edits of several methods into a study folder")
    add = verb.add_argument
    add("--run", type=Path, action="append", default=[], metavar="RUN", help="a run of `uip2p evaluate`; repeatable")
    add("--rows", nargs="+", default=[], metavar="ROW", help="rows of the runs (default: all that are no baselines)")
    add("--method", action="append", default=[], metavar="NAME=DIR", help="a plain folder of edits; repeatable")
    add("--inputs", type=Path, metavar="FILE", help="metadata.jsonl of the inputs: file_name, instruction")
    add("--count", type=int, default=15, help="samples, drawn by seed (default: 15, as in the paper)")
    add("--checks", type=int, default=2, help="attention checks among them (default: 2)")
    add("--seed", type=int, help="of samples, names and orders (default: drawn, and kept in the key)")
    add("--out", type=Path, required=True, metavar="STUDY", help="the folder to write, which may be served")
    add("--key", type=Path, metavar="FILE", help="whose picture is whose: keep it back (default: STUDY.key.json)")

    verb = verbs.add_parser("serve", help="ask people in their browsers")
    add = verb.add_argument
    add("study", type=Path, metavar="STUDY", help="the folder that `create` wrote")
    add("--answers", type=Path, metavar="FILE", help=f"SQLite (default: STUDY/{ANSWERS_FILE})")
    add("--host", default="127.0.0.1", help="0.0.0.0: whoever reaches this machine (default: 127.0.0.1)")
    add("--port", type=int, default=7860, help="0: any that is free (default: 7860)")

    verb = verbs.add_parser("report", help="count the answers")
    add = verb.add_argument
    add("study", type=Path, metavar="STUDY", help="the folder that `create` wrote")
    add("--answers", type=Path, metavar="FILE", help=f"SQLite (default: STUDY/{ANSWERS_FILE})")
    add("--key", type=Path, metavar="FILE", help="the key that `create` wrote (default: STUDY.key.json)")
    add("--failed-checks", type=int, default=0, help="how many checks a rater may fail (default: 0)")
    add("--min-seconds", type=float, default=3, help="a rater's median time an item, at least (default: 3)")
    add("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    add("--out", type=Path, metavar="DIR", help="where report.md and report.json go (default: STUDY)")


def run(args: argparse.Namespace) -> None:
    {"create": _create, "serve": _serve, "report": _report}[args.study_verb](args)


def _create(args: argparse.Namespace) -> None:
    from uip2p.people.create import create
    from uip2p.people.sources import from_folders, from_runs

    if bool(args.run) == bool(args.method):
        raise UserError("give --run RUN, or --method NAME=DIR for each method with --inputs FILE, and not both.")
    if args.run:
        if args.inputs:
            raise UserError("--inputs goes with --method: a run has its own inputs.")
        samples = from_runs(args.run, args.rows)
    else:
        if args.rows or not args.inputs:
            raise UserError("--method needs --inputs metadata.jsonl, and has no --rows.")
        samples = from_folders(_methods(args.method), args.inputs)
    seed = secrets.randbits(63) if args.seed is None else args.seed
    key = args.key or key_path(args.out)
    study = create(samples, args.count, args.checks, seed, args.out, key)
    print(f"{args.count} samples of {len(samples)} and {args.checks} checks in {args.out} (study {study.id}).")
    print(f"Whose picture is whose is in {key}: keep it away from raters, and do not lose it.")


def _methods(given: list[str]) -> dict[str, Path]:
    methods: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise UserError(f"--method {text}: must be NAME=DIR.")
        if name in methods:
            raise UserError(f"--method {name}: is there twice.")
        methods[name] = Path(folder)
    return methods


def _serve(args: argparse.Namespace) -> None:
    from uip2p.people.serve import serve

    study = load_study(args.study)
    serve(study, args.study, Answers(args.answers or args.study / ANSWERS_FILE, study), args.host, args.port)


def _report(args: argparse.Namespace) -> None:
    from uip2p.people.report import Rules, markdown, report, write

    study = load_study(args.study)
    key = load_key(args.key or key_path(args.study), study)
    answers = Answers(args.answers or args.study / ANSWERS_FILE, study, create=False)
    result = report(study, key, answers.all(), Rules(args.failed_checks, args.min_seconds), args.seed)
    print(markdown(result))
    for path in write(result, args.out or args.study):
        print(path)
