"""What benchmarks over another one's questions have in common: its pictures, instructions, answers and own figures,
while rows and pages are theirs."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Session, Turn
from uip2p.evaluate.suites import SUITES, Suite

QUESTIONS = ("scenes", "photos", "magicbrush", "ip2p")  # suites whose questions can be asked in another way
ON = ("steps", "ablation")  # suites that ask them


@dataclass(frozen=True, kw_only=True)
class OnAnother(Suite):
    """on: whose questions. Its settings are these settings, so that outputs are found again whatever rows are added."""

    on: Suite

    def sessions(self) -> Sequence[Session]:
        return self.on.sessions()

    def figures(self, turns: Sequence[Turn], outputs: Sequence[Image.Image]) -> list[dict[str, float]]:
        return self.on.figures(turns, outputs)

    def measured(self) -> dict[str, Any]:
        return self.on.measured()


def like(on: Suite) -> dict[str, Any]:
    """The fields of an `OnAnother` that are those of `on`."""
    return {
        "on": on, "settings": {"on": on.name, **on.settings}, "sampling": on.sampling, "baselines": on.baselines,
        "metrics": on.metrics, "captions": on.captions,
    }  # fmt: skip


def add_on(group: Any) -> None:
    group.add_argument(
        "--on", choices=QUESTIONS, default=argparse.SUPPRESS,
        help="steps, ablation: the suite whose pictures and instructions are asked, with its options (default: scenes)",
    )  # fmt: skip


def chosen(args: argparse.Namespace) -> str:
    """The suite whose questions are asked: its options are to be read too."""
    return str(getattr(args, "on", None) or "scenes")


def build_on(args: argparse.Namespace) -> Suite:
    """The suite of --on, as if it had been asked for itself. UserError: as it raises."""
    name = chosen(args)
    if name not in QUESTIONS:
        raise UserError(f"--on {name}: choose {', '.join(QUESTIONS)}.")
    built: Suite = importlib.import_module(SUITES[name]).build(argparse.Namespace(**{**vars(args), "suite": name}))
    return built
