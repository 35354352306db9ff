"""A curve as a small picture: thinned, smoothed, and drawn as SVG in the page's own colours, light and dark.

Drawn by hand, as a page that is drawn anew every few seconds has not the tenth of a second that matplotlib takes for a
panel; where the ticks go is matplotlib's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 340, 190  # of a panel, in its own units: CSS pixels at its usual size
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 24
POINTS = 300  # of a drawn curve: about one a pixel


@dataclass(frozen=True, slots=True)
class Curve:
    """name: in the metrics. images, values: float64 [n], finite, of training; held_*: [m], of validation. best: images
    at the lowest validation loss."""

    name: str
    title: str
    images: np.ndarray
    values: np.ndarray
    held_images: np.ndarray
    held_values: np.ndarray
    best: int | None = None


def smooth(values: np.ndarray, share: float) -> np.ndarray:
    """Centred mean over `share` (0 to 1) of the curve, shorter at its ends. [n] → [n]; 0 leaves it as it is."""
    half = round(share * len(values) / 2)
    if half < 1:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(0, at - half), np.minimum(len(values), at + half + 1)
    return (sums[high] - sums[low]) / (high - low)


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` of the points: of each stretch its lowest and its highest, so that no spike is lost."""
    if len(x) <= most:
        return x, y
    edges = np.linspace(0, len(x), most // 2 + 1).astype(int)
    kept = np.concatenate([
        (low + stretch.argmin(), low + stretch.argmax())
        for low, stretch in zip(edges, np.split(y, edges[1:-1]), strict=False)
    ])  # fmt: skip
    kept = np.unique(kept)
    return x[kept], y[kept]


def evenly(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points of a curve that is smooth already, both ends among them."""
    if len(x) <= most:
        return x, y
    kept = np.linspace(0, len(x) - 1, most).round().astype(int)
    return x[kept], y[kept]


def count(number: float) -> str:
    """1234567 → "1.23M": short enough for an axis."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def told(curve: Curve, share: float) -> str:
    """The picture in words: for those who do not see it."""
    if not len(curve.values):
        return f"{curve.title}: no value yet"
    means = smooth(curve.values, share)
    words = f"{curve.title}: from {means[0]:.3g} to {means[-1]:.3g} over {int(curve.images[-1]):,} images"
    if len(curve.held_values):
        words += f"; on held-out pictures from {curve.held_values[0]:.3g} to {curve.held_values[-1]:.3g}"
    return words


def draw(curve: Curve, share: float, logarithmic: bool, until: float) -> str:
    """The panel as SVG. until: images at the right edge, the same for all panels of a run. Logarithmic, what is not
    above 0 has no place and is left out."""
    x, y, held_x, held_y = curve.images, curve.values, curve.held_images, curve.held_values
    means = smooth(y, share)
    if logarithmic:
        above, held = (y > 0) & (means > 0), held_y > 0
        x, y, means, held_x, held_y = x[above], y[above], means[above], held_x[held], held_y[held]
    if not len(y) + len(held_y):
        return _empty(curve, "no value above 0" if logarithmic else "no value yet")
    scale = np.log10 if logarithmic else np.asarray
    low, high = _limits(scale(y), scale(means), scale(held_y))

    def across(images: np.ndarray) -> np.ndarray:
        return LEFT + np.asarray(images, float) / max(1.0, until) * (WIDTH - LEFT - RIGHT)

    def up(values: np.ndarray) -> np.ndarray:
        return HEIGHT - BOTTOM - (np.clip(scale(values), low, high) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    rough, fine = thin(x, y), evenly(x, means)
    parts = [
        *_grid(low, high, logarithmic, until, across),
        _line("rough", across(rough[0]), up(rough[1])) if share else "",
        _line("smooth", across(fine[0]), up(fine[1])) if share else _line("smooth", across(rough[0]), up(rough[1])),
        _held(curve, across, up, *evenly(held_x, held_y, 60)),
    ]
    return _svg(told(curve, share), "".join(parts))


def _limits(*values: np.ndarray) -> tuple[float, float]:
    """From the lowest to the highest, without the uppermost and lowest half percent, which are spikes; never empty."""
    rough, *fine = values
    ends = [np.percentile(rough, [0.5, 99.5])] if len(rough) else []
    ends += [np.array([each.min(), each.max()]) for each in fine if len(each)]
    low, high = float(min(end[0] for end in ends)), float(max(end[1] for end in ends))
    room = (high - low) * 0.05 or abs(high) * 0.05 or 0.5
    return low - room, high + room


def _grid(low: float, high: float, logarithmic: bool, until: float, across) -> list[str]:  # type: ignore[no-untyped-def]
    ticks = _ticks(low, high, logarithmic)
    parts = []
    for place, text in ticks:
        y = HEIGHT - BOTTOM - (place - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<path class="level" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
    for images in MaxNLocator(4, integer=True).tick_values(0, max(1.0, until)):
        if images <= until:
            x = float(across(images))
            end = "end" if x > WIDTH - 24 else "middle"
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{end}">{count(images)}</text>')
    return parts


def _ticks(low: float, high: float, logarithmic: bool) -> list[tuple[float, str]]:
    """(place, text); low and high are places, which are logarithms on a logarithmic axis."""
    if logarithmic:
        values = LogLocator(subs=(1.0,) if high - low > 2 else (1.0, 2.0, 5.0)).tick_values(10.0**low, 10.0**high)
        found = [(float(np.log10(value)), f"{value:.3g}") for value in values]
        found = [tick for tick in found if low <= tick[0] <= high]
        if len(found) >= 2:
            return found[:: -(-len(found) // 6)]
        middle = np.linspace(low, high, 4)[1:3]  # within one step of the locator
        return [(float(place), f"{10.0**place:.3g}") for place in middle]
    found = [(float(value), f"{value:.4g}") for value in np.asarray(MaxNLocator(4).tick_values(low, high))]
    nothing = 1e-9 * (high - low)  # what a locator leaves of a 0
    return [(place, text if abs(place) > nothing else "0") for place, text in found if low <= place <= high]


def _held(curve: Curve, across, up, x: np.ndarray, y: np.ndarray) -> str:  # type: ignore[no-untyped-def]
    """Dots of validation, the best of them ringed."""
    parts = [_line("held", across(x), up(y))] if len(x) > 1 else []
    for images, value in zip(x, y, strict=True):
        left, top = float(across(images)), float(up(value))
        parts.append(
            f'<circle class="held" cx="{left:.1f}" cy="{top:.1f}" r="2.6"><title>held out, after {int(images):,} '
            f"images: {value:.4g}</title></circle>"
        )
        if curve.best is not None and images == curve.best:
            parts.append(f'<circle class="best" cx="{left:.1f}" cy="{top:.1f}" r="6"/>')
    return "".join(parts)


def _line(kind: str, x: np.ndarray, y: np.ndarray) -> str:
    if len(x) == 1:
        return f'<circle class="{kind}" cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="2"/>'
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return f'<polyline class="{kind}" points="{points}"/>'


def _empty(curve: Curve, why: str) -> str:
    return _svg(f"{curve.title}: {why}", f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">{why}</text>')


def _svg(label: str, content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{content}</svg>'


def panels(curves: Sequence[Curve], share: float, logarithmic: bool) -> str:
    """All of them as figures, each with its title and its last value."""
    until = max((float(each[-1]) for c in curves for each in (c.images, c.held_images) if len(each)), default=1.0)
    figures = []
    for curve in curves:
        last = f"{smooth(curve.values, share)[-1]:.4g}" if len(curve.values) else "–"
        figures.append(
            f"<figure><figcaption><span><b>{escape(curve.title)}</b> <code>{escape(curve.name)}</code></span>"
            f"<output>{last}</output></figcaption>{draw(curve, share, logarithmic, until)}</figure>"
        )
    return f'<div class="panels">{"".join(figures)}</div>'
