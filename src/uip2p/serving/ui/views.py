"""The parts of the page that are our own HTML. What a part says to the page is in `data-act` and `data-value`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from uip2p.serving.asking import Progress
from uip2p.serving.ui.examples import Example
from uip2p.serving.ui.session import Session, Shot, show

if TYPE_CHECKING:  # reached through the service
    from uip2p.editing.editor import Edited
    from uip2p.models.parts import Parts

# A click on a button is an event of its part, by the name in data-act. Gradio looks for the names in the script.
SCRIPT = """
const acts = %s;
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button && acts.includes(button.dataset.act)) trigger(button.dataset.act, { value: button.dataset.value });
});
"""
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP"}


def act(name: str, value: Any, inner: str, classes: str = "", **attributes: Any) -> str:
    """A button that says `name` with `value`. inner: HTML. attributes: of the tag, with _ for -, None for none."""
    given = "".join(
        f' {key.replace("_", "-")}="{escape(str(text))}"' for key, text in attributes.items() if text is not None
    )
    return (
        f'<button type="button" class="{classes}" data-act="{name}" data-value="{escape(str(value))}"{given}>'
        f"{inner}</button>"
    )


def picture(uri: str, alt: str, classes: str = "") -> str:
    return f'<img class="{classes}" src="{uri}" alt="{escape(alt)}" decoding="async">'


def script(*acts: str) -> str:
    """Of a part whose buttons say these names."""
    return SCRIPT % json.dumps(acts)


# ---- what happens ----------------------------------------------------------------------------------


def working(progress: Progress | None, ahead: int | None, total: int, preview: str | None) -> str:
    """While an edit is on its way. ahead: edits before it, None when it is in work. preview: data URI."""
    if ahead is not None:
        said = "Next in line." if ahead == 0 else f"Waiting: {_count(ahead, 'edit')} before yours."
        bar = '<progress aria-label="Waiting"></progress>'
    else:
        done = progress.done if progress else 0
        said = f"Step {done} of {total}" if done < total else "Finishing"
        bar = f'<progress aria-label="Progress" value="{done}" max="{total}">{done} of {total}</progress>'
    seen = picture(preview, "How the picture looks so far", "preview") if preview else ""
    return f'<div class="u-working" role="status"><p>{escape(said)}</p>{bar}{seen}</div>'


def said(text: str) -> str:
    return f'<p class="u-said" role="status">{escape(text)}</p>' if text else ""


def error(text: str, suggestions: Sequence[str] = ()) -> str:
    """A sentence, and instructions that would do instead."""
    text = text[:1].upper() + text[1:]
    offers = "".join(act("suggest", offer, f"<span>{escape(offer)}</span>", "u-chip") for offer in suggestions)
    offers = f'<div class="u-chips"><span>Try:</span>{offers}</div>' if offers else ""
    return f'<div class="u-error" role="alert"><p>{escape(text)}</p>{offers}</div>'


def describe(edited: Edited) -> str:
    """One edit, in a line."""
    width, height = edited.image.size
    text = f"“{edited.instruction}” · {width}×{height}"
    if edited.working_size != edited.image.size:
        text += f", edited at {edited.working_size[0]}×{edited.working_size[1]}"
        text += "; fine detail kept where the edit left it alone" if edited.residual else ", resized"
    text += f" · {edited.changed:.0%} changed · seed {edited.seed}"
    if edited.check is not None:
        text += f" · score {edited.check.score:.2f}"
    if edited.changed < 0.002:
        text += ". Hardly anything changed: raise “Follow the words”, lower “Keep the picture”, or try another seed."
    elif edited.check is not None and edited.check.likely_failed:
        text += ". This edit likely failed: ask for more candidates, or say it in other words."
    return text


# ---- the parts -------------------------------------------------------------------------------------


def still(shot: Shot, overlay: str | None = None, word: str = "") -> str:
    """One picture, where there is nothing to compare; or one with a word's attention over it."""
    alt = f"Where the edit looked for “{word}”" if overlay else f"The picture: {shot.title}"
    ratio = shot.picture.width / shot.picture.height
    return f'<figure class="u-still" style="--ratio:{ratio:.4f}">{picture(overlay or shot.shown, alt)}</figure>'


def candidates(session: Session) -> str:
    """What the last edit offered, side by side. Empty for a single one, and where another state is looked at."""
    current, shots = session.current, session.candidates
    if len(shots) < 2 or current is None:
        return ""
    chosen = next((index for index, number in session.chosen.items() if number == current.number), None)
    if chosen is None and current.number != session.candidates_of:
        return ""
    checks = [shot.edited.check for shot in shots if shot.edited is not None]
    scores = [(check.score, check.direction) for check in checks if check is not None]
    best = scores.index(max(scores)) if scores else None
    cards = "".join(_candidate(index, shot, index == best, index == chosen) for index, shot in enumerate(shots))
    how = ("The score says how well the reverse of the edit brings your picture back, times how far the picture moved "
           "the way the words did. " if scores else "")  # fmt: skip
    return (
        f'<section aria-label="Candidates"><h3>{len(shots)} candidates</h3>'
        f'<p class="u-hint">{how}Choose the one to go on from.</p><div class="u-cards">{cards}</div></section>'
    )


def _candidate(index: int, shot: Shot, best: bool, chosen: bool) -> str:
    check = shot.edited.check if shot.edited else None
    told = f"seed {shot.edited.seed}" if shot.edited else ""
    if check is not None:
        told = f"<b>score {check.score:.2f}</b><span>comes back {check.reversibility:.2f}</span>"
        told += f"<span>right way {check.direction:.2f}</span>"
    badge = '<span class="u-badge">best</span>' if best else ""
    alt = f"Candidate {index + 1}: {shot.title}"
    return act("choose", index, picture(shot.shown, alt) + badge + f'<span class="u-told">{told}</span>', "u-card",
               aria_pressed=str(chosen).lower())  # fmt: skip


def words(session: Session) -> str:
    """The words of the current edit, to see where each looked. Empty where nobody asked."""
    current = session.current
    maps = getattr(current.content.edited, "attention", ()) if current else ()
    if not maps:
        return ""
    chips = "".join(
        act("word", index, escape(one.word), "u-chip", aria_pressed=str(index == session.word).lower())
        for index, one in enumerate(maps)
    )
    return (
        '<section aria-label="Where the edit looked"><h3>Where the edit looked</h3>'
        '<p class="u-hint">Choose a word; choose it again to put it away.</p>'
        f'<div class="u-chips">{chips}</div></section>'
    )


def strip(session: Session) -> str:
    """The history as a tree: a first result goes on to the right, another way from the same state opens a row below."""
    history = session.history
    if not history.states:
        return ""
    places = history.places()
    path = {state.number for state in history.path(history.at)} if history.at is not None else set()
    cells = []
    for state in history.states:
        row, column = places[state.number]
        parent_row = places[state.parent][0] if state.parent is not None else row
        classes = "u-state" + (" u-on" if state.number in path else "") + (" u-first" if state.parent is None else "")
        cell = act(
            "go", state.number,
            picture(state.content.thumbnail, "") + f"<span>{escape(state.content.title)}</span>", classes,
            aria_current="true" if state.number == history.at else None, title=state.content.title,
        )  # fmt: skip
        up = row - parent_row
        straight = "" if up else " u-straight"
        place = f"grid-row:{row + 1};grid-column:{column + 1};--up:{up}"
        cells.append(f'<div class="u-cell{straight}" style="{place}">{cell}</div>')
    return f'<div class="u-strip" role="group" aria-label="History">{"".join(cells)}</div>'


def downloads(session: Session) -> str:
    """Links to the current picture, as a file that says that it was edited."""
    current = session.current
    if current is None or current.content.edited is None:
        return ""
    links = "".join(
        f'<a class="u-link" href="/download/{session.token}/{current.number}.{form}" download>{FORMATS[form]}</a>'
        for form in FORMATS
    )
    return f'<div class="u-downloads"><span>Download</span>{links}</div>'


def gallery(shown: Sequence[Example]) -> str:
    """Examples to click."""
    cards = "".join(
        act("example", index, picture(show(one.picture, (0, 192)), one.alt) + f"<span>{escape(one.instruction)}</span>",
            "u-example") for index, one in enumerate(shown)
    )  # fmt: skip
    return f'<section aria-label="Examples"><h3>Try one of these</h3><div class="u-examples">{cards}</div></section>'


def about(parts: Parts, shipped: bool) -> str:
    """What this model can and cannot do, as far as anybody can know."""
    settings = parts.settings
    lines = []
    if shipped:
        lines = [
            "<b>Can:</b> give things another colour, take things away, change the place, the light and the style of "
            "its drawn scenes; on photographs make night, black and white, sepia, warmer, brighter, darker.",
            "<b>Cannot:</b> draw much. What it adds are blobs of the right colour; moving and replacing things fails.",
        ]
    lines.append(
        f"It sees pictures at {settings.image_size} pixels. Larger ones keep their own detail where the edit leaves "
        "them alone."
    )
    if settings.vocabulary is not None:
        known = " ".join(sorted(word for word in settings.vocabulary if word.isalpha()))
        lines.append(f"<details><summary>It knows {len(settings.vocabulary)} words</summary>{escape(known)}</details>")
    else:
        lines.append(f"It reads any words, up to {parts.max_tokens - 2} tokens. How well it follows them is up to it.")
    items = "".join(f"<li>{line}</li>" for line in lines)
    name = escape(str(parts.name).rsplit("/", 1)[-1])
    title = f"<h3>The model “{name}”</h3>"
    return f'<section aria-label="About the model" class="u-about">{title}<ul>{items}</ul></section>'


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
