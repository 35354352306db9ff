"""The demo's report: pure functions from pictures and numbers to one HTML page that needs nothing but itself."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from uip2p.evaluate.scene_tables import COLUMNS, cell
from uip2p.pages import data_uri, style

INK = "#010203"  # stands for the page's own text colour inside a plot, so that plots follow light and dark

KIND_NAMES = {
    "color": "Change a colour", "add": "Add a thing", "remove": "Remove a thing", "move": "Move a thing",
    "replace": "Replace a thing", "place": "Change the place", "time": "Make it night", "style": "Change the style",
    "tone": "Change the light",
}


@dataclass(frozen=True)
class Shown:
    """One edit to look at. Pictures are uint8 [H, W, 3]; error: the inside error, 0 exact, 1 as if nothing was done."""

    title: str
    instruction: str
    before: np.ndarray
    after: np.ndarray
    answer: np.ndarray
    error: float


@dataclass(frozen=True)
class Demo:
    """All that the report tells. losses: name -> (steps, values). summary: one table of evaluate.scene_tables."""

    edits: Sequence[Shown]
    turns: Sequence[Shown]
    photos: Sequence[Shown]
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    training: str
    table: Mapping[str, Mapping[str, Any]]
    kinds: Mapping[str, Mapping[str, Any]]
    count: int
    facts: Mapping[str, str] = field(default_factory=dict)


# Pieces

def image(picture: np.ndarray, alt: str) -> str:
    """uint8 [H, W, 3] -> <img> with the picture inside it: PNG for drawings, JPEG for what is larger."""
    small = picture.shape[1] <= 128
    form, drawn = ("png", ' class="drawn"') if small else ("jpeg", "")
    data = data_uri(Image.fromarray(picture), form, quality=90)
    height, width = picture.shape[:2]
    return f'<img{drawn} src="{data}" width="{width}" height="{height}" alt="{escape(alt)}">'


def figure(picture: np.ndarray, caption: str, alt: str) -> str:
    return f"<figure>{image(picture, alt)}<figcaption>{escape(caption)}</figcaption></figure>"


def judged(error: float) -> str:
    """The inside error in words; one half is the border of the column `halfway`."""
    if error >= 1:
        return "no nearer to the exact answer than before"
    words = "close to the exact answer" if error < 0.25 else "more than half of the way" if error < 0.5 else "not there"
    return f"{words}: {error:.0%} of the error is left"


def comparison(shown: Shown) -> str:
    """One edit: before, the instruction, after, and the exact answer."""
    pictures = "".join((
        figure(shown.before, "before", f"Before: {shown.title}"),
        figure(shown.after, "after", f"After “{shown.instruction}”"),
        figure(shown.answer, "exact answer", f"Exact answer to “{shown.instruction}”"),
    ))
    return (
        f'<article><h3>{escape(shown.title)}</h3><p class="said">“{escape(shown.instruction)}”</p>'
        f'<div class="row">{pictures}</div><p class="note">{escape(judged(shown.error))}</p></article>'
    )


def curves(losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Each loss in its own panel, as inline SVG: every value as a faint line, a running mean over it."""
    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "uip2p", "font.family": "sans-serif", "font.size": 9, "text.color": INK,
        "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False,
    }
    columns = min(3, max(1, len(losses)))
    rows = -(-len(losses) // columns)
    with matplotlib.rc_context(style):
        drawing = Figure(figsize=(3.1 * columns, 2.1 * rows), layout="constrained")
        for i, (name, (steps, values)) in enumerate(losses.items()):
            axes = drawing.add_subplot(rows, columns, i + 1)
            axes.plot(steps, values, color="#3b82c4", alpha=0.35, linewidth=1)
            axes.plot(steps, running_mean(values), color="#3b82c4", linewidth=2)
            axes.set_title(name, fontsize=10, loc="left")
            axes.set_xlabel("step" if i + columns >= len(losses) else "")
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg"):].replace(INK, "currentColor")
    told = "; ".join(f"{name} from {_ends(values)}" for name, (_, values) in losses.items())
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(f"Training curves: {told}")}"', 1)


def running_mean(values: Sequence[float]) -> np.ndarray:
    """Centred mean over about a seventh of the curve, shorter at its ends."""
    half = max(1, len(values) // 14)
    array = np.asarray(values, dtype=float)
    return np.array([array[max(0, i - half):i + half + 1].mean() for i in range(len(array))])


def _ends(values: Sequence[float]) -> str:
    smooth = running_mean(values)
    return f"{smooth[0]:.3g} to {smooth[-1]:.3g}" if len(smooth) else "nothing"


def figures_table(title: str, table: Mapping[str, Mapping[str, Any]], columns: Sequence[str], mark: str = "") -> str:
    """A table of evaluate.scene_tables as HTML; the row called `mark` stands out."""
    head = "".join(f'<th scope="col">{escape(COLUMNS[name][0])}</th>' for name in columns)
    body = "".join(
        f'<tr{" class=mark" if label == mark else ""}><th scope="row">{escape(label)}</th>'
        + "".join(f"<td>{cell(name, row.get(name))}</td>" for name in columns) + "</tr>"
        for label, row in table.items()
    )
    return (
        f'<div class="scroll"><table><thead><tr><th scope="col">{escape(title)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


# The page

EDITS = """Each box is a scene that the editor never saw in training, the sentence it was given, what it made of it, and
the exact answer. They are the first scenes of their kind for this seed; nobody picked them. No edited picture was ever
used in training: the exact answers exist only to measure with."""

TURNS = "Each edit starts from the editor’s own last output, so that its mistakes add up."

PHOTOS = """Changes of light and tone have an exact answer on any picture, so on a photograph they can be measured too.
The editor works at its own small size, and the photograph’s fine detail is carried over."""

SCORE = """{count} edits of scenes that training never saw. “Inside” is the error where the edit had to happen: 1 is
what doing nothing scores, 0 is exact. “Outside” is what changed everywhere else, and “× trip” that relative to the
round trip, which merely encodes and decodes the picture. The row to beat is copy-input: it does nothing at all, and
still does well by L1, L2 and CLIP-I. An edit is a success when, of all that it could have come to, drawn exactly, the
output is nearest to what was asked; where there is a column “judge”, a CLIP that training never used decides the same
by captions; “halfway” is less than half of the error left. Best possible is the exact answer, encoded and decoded."""


def html(demo: Demo) -> str:
    """The whole report. Every text in `demo` is escaped; nothing is fetched from anywhere."""
    judged_too = any(row.get("clip_i") is not None for row in demo.table.values())
    by_judge = ("clip_i", "clip_t", "direction", "judge_success")
    columns = [name for name in COLUMNS if judged_too or name not in by_judge]
    table = figures_table("All kinds", demo.table, columns, "model")
    if demo.kinds:
        table += figures_table("The model, by kind", demo.kinds, columns)
    sections = (
        ("One edit of each kind", EDITS, f'<div class="grid">{"".join(map(comparison, demo.edits))}</div>'),
        ("Three edits in a row", TURNS, f'<div class="row wide">{session(demo.turns)}</div>'),
        ("A photograph", PHOTOS, f'<div class="grid photos">{"".join(map(comparison, demo.photos))}</div>'),
        ("Learning, live", demo.training, f'<div class="scroll">{curves(demo.losses)}</div>' if demo.losses else ""),
        ("The score", SCORE.format(count=demo.count), table),
    )
    body = "".join(
        f"<section><h2>{escape(title)}</h2><p>{escape(' '.join(text.split()))}</p>{content}</section>"
        for title, text, content in sections
        if content
    )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in demo.facts.items())
    return PAGE.format(style=f"{style()}\n{STYLE}", body=body, facts=facts)


def session(turns: Sequence[Shown]) -> str:
    """The start, the editor's output after each turn, and the exact answer after all of them."""
    pictures = [figure(turns[0].before, "start", "The scene before any edit")]
    for number, turn in enumerate(turns, 1):
        said = f"{number}. “{turn.instruction}”"
        pictures.append(figure(turn.after, said, f"The editor’s output after turn {said}"))
    last = turns[-1]
    caption = f"exact answer after all turns ({judged(last.error)})"
    return "".join((*pictures, figure(last.answer, caption, "The exact answer after all turns")))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>UIP2P in miniature</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{style}</style></head><body><main>
<header><h1>UIP2P in miniature</h1><p>An image editor that follows instructions, and has learned to without a single
edited picture: what holds its training together is that every edit must be undone by its reverse. All pictures and
figures below were made on this machine just now.</p></header>
{body}
<footer><dl>{facts}</dl></footer>
</main></body></html>
"""

STYLE = """
.photos{grid-template-columns:repeat(auto-fill,minmax(460px,1fr))}
@media (max-width:520px){.photos{grid-template-columns:1fr}}
.said{margin:.1rem 0 .6rem;font-style:italic}.note{margin:.5rem 0 0}
.row{display:grid;grid-template-columns:repeat(3,1fr);gap:.5rem}
.wide{grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:.75rem}
.scroll svg{display:block;max-width:100%;height:auto;min-width:560px}
table{margin:.5rem 0 1.25rem}
tr.mark>*{font-weight:600;background:var(--mark)}
""".strip()
