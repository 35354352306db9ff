"""How a policy does on labelled instructions: what it refuses of what it should, and of what it should not.

    python -m uip2p.safety.measure tests/safety/labelled.tsv [--policy FILE] [--errors]
    python -m uip2p.safety.measure DATA          # any edits that training reads: what it refuses of them
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from uip2p.errors import UserError
from uip2p.safety.policy import DEFAULT, Policy, load_policy

HARMLESS, UNKNOWN = "harmless", "not labelled"


@dataclass(frozen=True, slots=True)
class Labelled:
    """group: where it comes from. label: HARMLESS, the rule that should refuse it, or UNKNOWN. others: more texts of
    the same edit."""

    group: str
    label: str
    text: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    labelled: Labelled
    rule: str | None  # that refused it

    @property
    def right(self) -> bool:
        """Whether it was refused as it should, by whichever rule."""
        return (self.rule is None) == (self.labelled.label in (HARMLESS, UNKNOWN))


def load_labelled(path: Path) -> list[Labelled]:
    """Lines of group, label and instruction, with tabs between; "#" begins a comment. UserError: a line is not so."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        parts = line.split("\t")
        if len(parts) != 3 or not all(parts):
            raise UserError(f"{path}, line {number}: has to be group, label and instruction, with tabs between.")
        rows.append(Labelled(parts[0], parts[1], parts[2]))
    return rows


def load_records(path: Path) -> list[Labelled]:
    """The edits of any source of `datasets.open_records`, all four texts of each; no picture is opened."""
    from uip2p.datasets import open_records

    source = open_records(path)
    records = (source.record(row) for row in range(len(source)))
    return [Labelled(path.name, UNKNOWN, r.instruction, (r.reverse_instruction, r.caption, r.edited_caption))
            for r in records]  # fmt: skip


def measure(policy: Policy, rows: list[Labelled]) -> list[Outcome]:
    refused = (policy.refuses(row.text, *row.others) for row in rows)
    return [Outcome(row, rule.name if rule else None) for row, rule in zip(rows, refused, strict=True)]


def table(outcomes: list[Outcome]) -> str:
    """Markdown: of each group and label, how many were refused."""
    lines = ["| set | label | refused | of |", "|---|---|---|---|"]
    for group, label in dict.fromkeys((o.labelled.group, o.labelled.label) for o in outcomes):
        these = [o for o in outcomes if (o.labelled.group, o.labelled.label) == (group, label)]
        lines.append(f"| {group} | {label} | {sum(o.rule is not None for o in these)} | {len(these)} |")
    return "\n".join(lines)


def _load(path: Path) -> list[Labelled]:
    return load_labelled(path) if path.suffix == ".tsv" else load_records(path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m uip2p.safety.measure", description=__doc__.split("\n")[0])
    what = "lines of group, label and instruction, with tabs between; or edits as training reads them"
    parser.add_argument("labelled", type=Path, metavar="FILE.tsv|DATA", help=what)
    parser.add_argument("--policy", default=DEFAULT, metavar="default|none|FILE")
    parser.add_argument("--errors", action="store_true", help="list what came out otherwise than labelled")
    args = parser.parse_args(arguments)
    try:
        policy, rows = load_policy(args.policy), _load(args.labelled)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    outcomes = measure(policy, rows)
    print(policy.describe())
    print(table(outcomes))
    for outcome in outcomes if args.errors else ():
        if not outcome.right:
            row = outcome.labelled
            came = f"refused by {outcome.rule}" if outcome.rule else "edited"
            print(f"{row.group}, {row.label}, {came}: {' | '.join((row.text, *row.others))}")


if __name__ == "__main__":
    main()
