"""What each loss adds: editors trained with more and more of the losses, each against the one before on the same edits.

    --model base=A/model --model +sim=B/model --model +attn=C/model

for the paper's rows: L_CLIP + L_recon, then with L_sim, then with L_attn, each trained by
`uip2p train --recipe sd15-ip2p --data DIR` with

    --out A --set loss.similarity=0 --set loss.attention=0
    --out B --set loss.attention=0
    --out C

In the paper every added loss trades CLIP-T for preservation; ablation.md says whether it does here.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.evaluate.editors import Editor
from uip2p.evaluate.plots import changes
from uip2p.evaluate.runs import Run, row_folder
from uip2p.evaluate.statistics import Difference
from uip2p.evaluate.suites import Published, Row
from uip2p.evaluate.suites.on import OnAnother, add_on, build_on, like
from uip2p.evaluate.tables import FIGURES, difference_cell, differences, heading
from uip2p.images import write_atomic

GROUP = "single-turn"
FOLLOWED = "clip_t"
PRESERVED = ("l1", "l2", "clip_i", "dino")  # the paper's columns, in which it sees preservation
PAPER = {
    "base": (0.117, 0.032, 0.878, 0.806, 0.309),
    "+sim": (0.089, 0.024, 0.906, 0.872, 0.301),
    "+attn": (0.062, 0.017, 0.932, 0.904, 0.296),
}
PUBLISHED = tuple(
    Published(name, GROUP, dict(zip((*PRESERVED, FOLLOWED), figures, strict=True)),
              "UIP2P, arXiv 2412.15216, loss ablation on MagicBrush, single-turn")
    for name, figures in PAPER.items()
)  # fmt: skip


def add_arguments(group: Any) -> None:
    add_on(group)


def build(args: argparse.Namespace) -> Ablation:
    """UserError: an --on without ground truth; or as the suite of --on raises."""
    on = build_on(args)
    if "ground truth" not in on.baselines and "ceiling" not in on.baselines:
        raise UserError(f"--on {on.name}: has no ground truth, which L1, L2, CLIP-I and DINO need. Choose another.")
    # The paper's figures compare over all of MagicBrush's test set only; their changes stand beside ours anywhere.
    return Ablation(name="ablation", published=PUBLISHED if on.published else (), **like(on))


@dataclass(frozen=True, kw_only=True)
class Ablation(OnAnother):
    def rows(self, editors: Sequence[Editor]) -> list[Row]:
        """UserError: fewer than two editors."""
        if len(editors) < 2:
            raise UserError("ablation compares each editor with the one before: give --model NAME=SPEC at least twice.")
        return super().rows(editors)

    def finish(self, run: Run) -> list[Path]:
        """ablation.md and ablation.png, of each group of turns."""
        paths, text = [], ["# What each loss adds", ""]
        for group in run.groups():
            steps, theirs = consecutive(run, group), published_changes(group)
            text += report(group, steps, theirs)
            file = "ablation.png" if len(run.groups()) == 1 else f"ablation-{row_folder(group)}.png"
            paths.append(changes(steps, theirs, run.folder / file))
        text += [NOTES, ""]
        return [write_atomic(run.folder / "ablation.md", "\n".join(text).encode()), *paths]


NOTES = (
    "Differences of the row to the one before on the same edits, with 95 % intervals; *inside the noise*: 0 is a good "
    "guess too. L1, L2, CLIP-I and DINO also reward doing less: read them beside the direction and the row copy-input "
    "of table.md. Published: photographs of MagicBrush, CLIP ViT-B/32, so that elsewhere only signs compare. Each row "
    "is one training run: what another training seed would do is not in these intervals."
)


def consecutive(run: Run, group: str) -> dict[str, dict[str, Difference]]:
    """"earlier → later" → figure → later − earlier."""
    names = [row["name"] for row in run.info["rows"] if not row["baseline"]]
    return {f"{a} → {b}": differences(run, b, a, group) for a, b in pairwise(names)}


def published_changes(group: str) -> dict[str, dict[str, float]]:
    """The same of the paper's rows of the group; it stands beside ours where the rows are called alike."""
    rows = {row.name: row.figures for row in PUBLISHED if row.group == group}
    return {
        f"{a} → {b}": {figure: rows[b][figure] - rows[a][figure] for figure in rows[b]} for a, b in pairwise(rows)
    }


def report(
    group: str, steps: Mapping[str, Mapping[str, Difference]], published: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """A table of the differences, the published ones above ours, and a sentence a step, in Markdown."""
    figures = [name for name in FIGURES if any(name in found for found in steps.values())]
    lines = [f"## {group}", "", f"| | {' | '.join(map(heading, figures))} |", "|---|" + "---|" * len(figures)]
    for step, found in steps.items():
        if step in published:
            cells = [f"{published[step][name]:+.3f}" if name in published[step] else "–" for name in figures]
            lines.append(f"| *{step} (published)* | {' | '.join(cells)} |")
        lines.append(f"| {step} | {' | '.join(_said(figure, found.get(figure)) for figure in figures)} |")
    return [*lines, "", *(f"- **{step}**: {verdict(found)}" for step, found in steps.items()), ""]


def verdict(found: Mapping[str, Difference]) -> str:
    """In words: does this step trade CLIP-T for preservation, as each of the paper's does?"""
    gains = {name: _gain(name, found[name]) for name in PRESERVED if name in found}
    if FOLLOWED not in found or not gains:
        lacking = "CLIP-T" if FOLLOWED not in found else "L1, L2, CLIP-I or DINO"
        return f"{lacking} was not measured, so nothing can be said of the trade."
    kept, lost, noise = ([FIGURES[name][0] for name, gain in gains.items() if gain == sign] for sign in (1, -1, 0))
    followed = _gain(FOLLOWED, found[FOLLOWED])
    said = [{1: "CLIP-T rises", -1: "CLIP-T falls", 0: "the change of CLIP-T is inside the noise"}[followed]]
    for what, names in (("better kept", kept), ("worse kept", lost), ("kept alike, inside the noise", noise)):
        said += [f"{what}: {', '.join(names)}"] if names else []
    if followed < 0 and kept and not lost:
        end = "It trades CLIP-T for preservation, as in the paper."
    elif followed >= 0 and kept and not lost:
        end = "Preservation is gained and no CLIP-T is seen to be paid for it: not the paper's trade."
    elif followed > 0 and lost and not kept:
        end = "It trades preservation for CLIP-T, the reverse of the paper."
    else:
        end = "No such trade is seen here."
    return f"{'; '.join(said)}. {end}"


def _gain(figure: str, found: Difference) -> int:
    """1 better, −1 worse, 0 inside the noise."""
    return 0 if found.noise else (1 if found.mean * FIGURES[figure][2] > 0 else -1)


def _said(figure: str, found: Difference | None) -> str:
    return "–" if found is None else difference_cell(figure, found)
