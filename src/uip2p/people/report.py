"""What people said: the figures of a study beside the paper's, and who was left out and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from uip2p.errors import UserError
from uip2p.images import write_atomic
from uip2p.people.answers import Answer
from uip2p.people.counting import DRAWS, PRIOR, agreement, intervals, shares, strengths, votes_of, wins
from uip2p.people.study import CHOICES, QUESTIONS, Key, Study

PUBLISHED = {  # arXiv 2412.15216, table 2: 52 people, 15 edits, the best two of 6 methods; % of the votes
    "IP2P": {"match": 8, "preserve": 12},
    "MagicBrush": {"match": 17, "preserve": 18},
    "HIVE": {"match": 14, "preserve": 13},
    "MGIE": {"match": 20, "preserve": 19},
    "SmartEdit": {"match": 19, "preserve": 18},
    "UIP2P": {"match": 22, "preserve": 20},
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose answers count. failed_checks: that a rater may fail. min_seconds: of their median time an item."""

    failed_checks: int = 0
    min_seconds: float = 3


def reasons(study: Study, key: Key, answers: Mapping[str, Answer], rules: Rules) -> list[str]:
    """Why a rater's answers (item → answer) do not count; nothing if they do."""
    found = []
    if len(answers) < len(study.items):
        found.append(f"incomplete: {len(answers)} of {len(study.items)} answered")
    checked = [item for item in key.checks if item in answers]
    failed = [item for item in checked if not _passed(answers[item], key)]
    if len(failed) > rules.failed_checks:
        found.append(f"failed checks: {len(failed)} of {len(checked)}")
    seconds = [answer.seconds for answer in answers.values() if answer.seconds is not None]
    if seconds and median(seconds) < rules.min_seconds:
        found.append(f"too fast: median {median(seconds):g} s an item, less than {rules.min_seconds:g} s")
    return found


def _passed(answer: Answer, key: Key) -> bool:
    """A check is passed when both questions have the two pictures that are right, and so no other."""
    return all(answer.choices.get(question) == frozenset(key.checks[answer.item]) for question in QUESTIONS)


def report(study: Study, key: Key, answers: Sequence[Answer], rules: Rules, seed: int = 0) -> dict[str, Any]:
    """All figures, for JSON. UserError: nobody's answers count (it says why)."""
    raters: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        raters.setdefault(answer.rater, {})[answer.item] = answer
    why = {rater: reasons(study, key, given, rules) for rater, given in raters.items()}
    excluded = [{"rater": rater, "reasons": found} for rater, found in why.items() if found]
    kept = [given for rater, given in raters.items() if not why[rater]]
    if not kept:
        told = "".join(f"\n  {one['rater'][:8]}: {'; '.join(one['reasons'])}" for one in excluded)
        raise UserError(f"no rater's answers count, of {len(raters)}:{told}" if raters else "nobody has answered yet.")
    items = [item.id for item in study.items if item.id not in key.checks]
    seconds = [answer.seconds for given in kept for answer in given.values() if answer.seconds is not None]
    return {
        "study": study.id, "seed": key.seed, "samples": [key.samples[item] for item in items],
        "questions": QUESTIONS, "choices": CHOICES, "methods": list(key.methods), "checks": len(key.checks),
        "raters": len(kept), "excluded": excluded, "rules": asdict(rules),
        "median_seconds": median(seconds) if seconds else None,
        "bootstrap": {"draws": DRAWS, "seed": seed}, "prior": PRIOR,
        "figures": {question: _figures(kept, items, question, key, seed) for question in QUESTIONS},
        "published": PUBLISHED,
    }  # fmt: skip


def _figures(kept: Sequence[Mapping[str, Answer]], items: Sequence[str], question: str, key: Key, seed: int) -> Any:
    methods = key.methods
    chosen = [[[key.pictures[name] for name in given[i].choices[question]] for i in items] for given in kept]
    votes = votes_of(chosen, methods)
    won = wins(votes)
    share, theta = shares(votes), strengths(won.sum(0))
    share_range = intervals(len(votes), lambda index: shares(votes[index]), seed)
    theta_range = intervals(len(votes), lambda index: strengths(won[index].sum(1)), seed)
    count = votes.sum((0, 1))
    return {
        "agreement": agreement(votes),
        "methods": {
            name: {
                "votes": int(count[n]), "share": float(share[n]), "share_interval": share_range and share_range[n],
                "strength": float(theta[n]), "strength_interval": theta_range and theta_range[n],
            }
            for n, name in enumerate(methods)
        },
    }  # fmt: skip


def markdown(result: Mapping[str, Any]) -> str:
    """The report as a page of Markdown."""
    first, second = (result["figures"][question] for question in QUESTIONS)
    names = {name.lower(): name for name in PUBLISHED}
    published = {name: PUBLISHED[names[name.lower()]] for name in result["methods"] if name.lower() in names}
    lines = [
        f"# User study {result['study']}", "",
        f"{_count(result['raters'], 'rater')}, {_count(len(result['samples']), 'edit')}, "
        f"{len(result['methods'])} methods, the best {result['choices']} for each question. "
        f"{_count(result['checks'], 'attention check')}. {_count(len(result['excluded']), 'rater')} left out.", "",
        *(f"- **Q{number}** {text}" for number, text in enumerate(QUESTIONS.values(), 1)), "",
        "| method | Q1, % of votes | Q2, % of votes | Q1, strength | Q2, strength | published Q1 / Q2, % |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in result["methods"]:
        cells = [_share(figures["methods"][name]) for figures in (first, second)]
        cells += [_strength(figures["methods"][name]) for figures in (first, second)]
        lines.append(f"| {_cell(name)} | {' | '.join(cells)} | {_published(published.get(name))} |")
    shown = {name.lower() for name in result["methods"]}
    for name, row in PUBLISHED.items():
        if name.lower() not in shown:
            lines.append(f"| {name} (published only) | – | – | – | – | {_published(row)} |")
    lines += [
        "",
        "Published: arXiv 2412.15216, table 2 (52 people, 15 edits, 6 methods). Other people, other pictures: shares "
        "of a study with another number of methods do not compare.",
        "",
        "Shares are of all votes for a question. Strengths are Bradley–Terry, θ with mean 0: each chosen picture beats "
        f"each one that was not chosen with it; a method is chosen over another with odds exp(θ₁ − θ₂). Every pair of "
        f"methods is given {result['prior']:g} wins each way. In brackets: 95 % bootstrap intervals over raters "
        f"({result['bootstrap']['draws']} draws), so of other people on the same edits; none for a single rater.",
        "", "## Agreement between raters", "",
        f"Krippendorff's α, chosen or not, nominal (1: all alike, 0: chance): Q1 {_number(first['agreement'])}, "
        f"Q2 {_number(second['agreement'])}. Median time an item: {_seconds(result['median_seconds'])}.",
        "", "## Raters left out", "",
    ]  # fmt: skip
    lines += [f"- `{one['rater'][:8]}`: {'; '.join(one['reasons'])}" for one in result["excluded"]] or ["None."]
    return "\n".join(lines) + "\n"


def write(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """report.md and report.json. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    return [
        write_atomic(folder / "report.md", markdown(result).encode()),
        write_atomic(folder / "report.json", content.encode()),
    ]


def _share(row: Mapping[str, Any]) -> str:
    between = row["share_interval"]
    return f"{100 * row['share']:.1f}" + (f" [{100 * between[0]:.1f}, {100 * between[1]:.1f}]" if between else "")


def _strength(row: Mapping[str, Any]) -> str:
    between = row["strength_interval"]
    return f"{row['strength']:+.2f}" + (f" [{between[0]:+.2f}, {between[1]:+.2f}]" if between else "")


def _published(row: Mapping[str, int] | None) -> str:
    return f"{row['match']} / {row['preserve']}" if row else "–"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _number(value: float | None) -> str:
    return "not defined (fewer than two raters)" if value is None else f"{value:.2f}"


def _seconds(value: float | None) -> str:
    return "not known" if value is None else f"{value:g} s"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
