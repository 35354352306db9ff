"""`uip2p data report`: a run's folder as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from uip2p.instructions.report.page import report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", metavar="OUT", type=Path, help="what uip2p data generate wrote")
    add("-o", "--to", metavar="FILE", type=Path, help="the page (default: OUT/report.html)")
    add("--seed", type=int, default=0, help="of the rows that are shown (default: 0)")
    add("--price", type=float, nargs=2, metavar=("IN", "OUT"), help="of a million tokens, to say what a run has cost")


def run(args: argparse.Namespace) -> None:
    print(report(args.out, args.seed, args.to, args.price))
