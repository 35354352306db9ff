"""A run's report: one HTML page that needs nothing but itself. The template escapes every text: captions are data."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.report.numbers import LENGTHS, Numbers, Row, changes, count, pictures_of, shown
from uip2p.pages import data_uri, facts, style

SIDE = 420  # pixels of a picture's longer side
MOST = 15  # bars of a kind
NAMES = dict(zip(LENGTHS, ("Captions", "Instructions", "Edited captions", "Reverse instructions"), strict=True))


def report(out: Path, seed: int = 0, to: Path | None = None, price: Sequence[float] | None = None) -> Path:
    """Write the page of a run's folder (OUT/report.html, or `to`), whole or not at all; returns where it is.

    seed: of the rows that are shown. price: of a million tokens in and out, for what a run with an LLM has cost.
    UserError: the folder is no run's, nothing is finished, or the disk is full.
    """
    from uip2p.images import write_atomic  # torch takes seconds

    numbers = count(out, seed)
    rows = [row["row"] for row in (*numbers.shown, *numbers.rejected)]
    page = html(numbers, pictures_of(out, numbers.config, rows), price)
    return write_atomic(to or out / "report.html", page.encode("utf-8", "replace"))


def html(numbers: Numbers, pictures: Mapping[int, Any], price: Sequence[float] | None = None) -> str:
    """pictures: row → a path or bytes."""
    import jinja2
    from markupsafe import Markup

    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    config, counts = numbers.config, numbers.counts
    accepted, distinct = numbers.accepted.total(), len(numbers.instructions)
    rejected = counts.proposed - counts.accepted
    return environment.from_string(template).render(
        style=Markup(style()),
        title=Path(config["source"]["path"]).name or config["source"]["path"],
        writer="the grammar" if config["writer"]["name"] == "grammar" else f"the writer “{config['writer']['name']}”",
        tiles=tiles(numbers, price),
        rejected_text=f"{rejected:,} of {counts.proposed:,} proposed edits ({share(rejected, counts.proposed)}), each "
                      f"for one reason or more. {counts.errors:,} captions gave no edit at all.",
        reasons=bars(counts.rejected, most=99),
        not_judged=bars(counts.not_judged, most=99),
        kinds=[(kind, proposed, kept := numbers.accepted[kind], share(kept, proposed), share(kept, accepted))
               for kind, proposed in numbers.proposed.most_common()],
        objects=bars(numbers.objects),
        verbs=bars(numbers.verbs),
        histograms=[(NAMES[name], histogram(lengths)) for name, lengths in numbers.lengths.items()],
        repeats_text=f"{distinct:,} distinct instructions in {accepted:,} rows ({share(distinct, accepted)}). Within a "
                     f"picture no instruction comes twice: {counts.rejected['duplicate']:,} were refused for that. The "
                     "commonest over all pictures:",
        repeats=bars(numbers.instructions, most=10),
        shown=[card(row, pictures.get(row["row"])) for row in numbers.shown],
        rejected=[card(row, pictures.get(row["row"])) for row in numbers.rejected],
        facts=facts(config),
    )  # fmt: skip


def tiles(numbers: Numbers, price: Sequence[float] | None) -> list[tuple[str, str]]:
    counts = numbers.counts
    found = [
        (f"{counts.captions:,}", "captions"),
        (f"{counts.proposed:,}", "edits proposed"),
        (f"{counts.accepted:,}", "accepted"),
        (share(counts.accepted, counts.proposed), "of what was proposed"),
        (f"{counts.accepted / counts.captions:.2f}", "accepted a caption"),
        (f"{numbers.pictures:,}", "pictures with an edit"),
    ]
    if counts.seconds:
        found.append((f"{counts.captions / counts.seconds:,.1f}", "captions a second"))
    if counts.calls:
        found += [
            (f"{counts.calls:,}", "calls of the LLM"),
            (f"{counts.tokens_in:,}", "tokens in"),
            (f"{counts.tokens_out:,}", "tokens out"),
        ]
    if price is not None:
        cost = (counts.tokens_in * price[0] + counts.tokens_out * price[1]) / 1e6
        found.append((f"{cost:,.2f}", "cost, at the given prices"))
        found.append((f"{1e6 * cost / max(1, counts.accepted):,.2f}", "cost of a million accepted"))
    return found


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def bars(counts: Counter[str], most: int = MOST) -> list[tuple[str, int, float]]:
    """(name, count, length in percent of the longest)."""
    rows = counts.most_common(most)
    return [(name, value, 100 * value / rows[0][1]) for name, value in rows]


def histogram(lengths: Counter[int], columns: int = 40) -> dict[str, Any]:
    """Heights in percent, from the shortest to the longest; those few that are longer than `columns` are one column."""
    if not lengths:
        return {"heights": [], "first": "", "last": "", "label": "none"}
    first, last = min(lengths), min(max(lengths), min(lengths) + columns)
    heights = [sum(n for length, n in lengths.items() if min(length, last) == at) for at in range(first, last + 1)]
    middle = statistics.median_low(lengths.elements())
    end = f"{last}{'+' if max(lengths) > last else ''}"
    return {"heights": [100 * height / max(heights) for height in heights], "first": first, "last": end,
            "label": f"half have {middle} or fewer"}  # fmt: skip


def card(row: Row, picture: Any) -> Row:
    """A row for its card."""
    row = shown(row)
    before, after = changes(row["caption"], row["edited_caption"])
    data, size = thumbnail(picture) if picture is not None else ("", (0, 0))
    return {"reasons": [], **row, "before": before, "after": after, "picture": data, "size": size}


def thumbnail(picture: Any) -> tuple[str, tuple[int, int]]:
    """A path or bytes → a small JPEG as a data URI, and its size; "" where it does not open."""
    from uip2p.images import load_image

    try:
        small = load_image(picture)
    except UserError:
        return "", (0, 0)
    small.thumbnail((SIDE, SIDE))
    return data_uri(small, "jpeg", quality=72), small.size
