"""What a service declines, as command line options: for every verb that edits other people's pictures."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uip2p.safety.policy import DEFAULT, FILE, Policy, load_policy

if TYPE_CHECKING:
    from uip2p.safety.checker import Checker


@dataclass(frozen=True, slots=True)
class Safety:
    """What is declined: by words, and by a look at the picture where there is a checker."""

    policy: Policy
    checker: Checker | None = None

    def describe(self) -> tuple[str, str]:
        """A line on each, for a log or a page."""
        from uip2p.safety.checker import describe

        return self.policy.describe(), describe(self.checker)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is declined (docs/safety.md)")
    group.add_argument(
        "--policy", default=DEFAULT, metavar="default|none|FILE",
        help=f"which instructions are refused: copy {FILE.name} and change it (default: the one that ships)",
    )  # fmt: skip
    group.add_argument(
        "--safety-checker", default="own", metavar="own|none|FOLDER|ID",
        help="what looks at edited pictures (default: what lies in the model's own folder, if anything)",
    )  # fmt: skip


def from_args(args: argparse.Namespace, model: str | None = None, device: str = "cpu") -> Safety:
    """model: whose own checker is meant, as `load_pipeline` takes it. UserError: `load_policy`'s, `load_checker`'s."""
    from uip2p.safety.checker import load_checker

    return Safety(load_policy(args.policy), load_checker(args.safety_checker, model, device))
