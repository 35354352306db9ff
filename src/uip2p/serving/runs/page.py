"""What the tab says and shows, as HTML. Pure functions of what `run.py` read; every text of a file is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from PIL import Image

from uip2p.errors import UserError
from uip2p.images import load_image
from uip2p.pages import data_uri
from uip2p.serving.runs.curves import Curve, panels
from uip2p.serving.runs.log import Log
from uip2p.serving.runs.run import Config, Copying, Progress, Unreadable

MAX_PIXELS = 30_000_000  # of a sample grid: ten columns of 1024 px and three rows
EXACT = 1_000_000  # pixels up to which a grid is sent as it is
SIDE = 2400  # of a larger one, its longer side in the page

WHAT_TO_DO = (
    "More steps of the same kind seldom help: if it still trains, stop it (Ctrl-C). Begin again in another folder, "
    "with more weight on the words (loss.direction, loss.similarity) or less on staying the same (loss.reconstruction, "
    "loss.prior)."
)


def style() -> str:
    """The tab's rules, as a style element."""
    rules = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return f'<div class="runs-style"><style>{rules}</style></div>'


def notice(kind: str, heading: str, *paragraphs: str) -> str:
    """A box that says by a word and a sign, and not only by its colour, what it is. kind: good, note, wrong."""
    sign, word = {"good": ("✓", "Good"), "note": ("i", "Note"), "wrong": ("!", "Alarm")}[kind]
    body = "".join(f"<p>{text}</p>" for text in paragraphs if text)
    role = ' role="alert"' if kind == "wrong" else ""
    return (
        f'<section class="notice {kind}"{role}><h3><span class="sign" aria-hidden="true">{sign}</span>'
        f"{word}: {heading}</h3>{body}</section>"
    )


def overview(
    fault: str, progress: Progress, copying: Copying | None, log: Log, unreadable: Unreadable | None
) -> str:
    """How far the run is, and whether all is well."""
    boxes = [_progress(progress)]
    if fault:
        boxes.append(notice("wrong", escape(fault)))
    if copying is not None:
        boxes.append(copies(copying))
    elif log.alarms:
        images, sentence = log.alarms[-1]
        kind = "wrong" if log.last.get("alarm") else "note"
        boxes.append(notice(kind, f"{escape(sentence)} (after {images:,} images)"))
    return f'<div class="runs">{"".join(boxes)}{_faults(log, unreadable)}</div>'


def _progress(progress: Progress) -> str:
    words = {"training": "Training now", "finished": "Finished", "stopped": "Stopped"}[progress.state]
    of = f" of {progress.steps:,}" if progress.steps is not None else ""
    at = {"training": f": step {progress.step:,}{of}", "finished": f" at step {progress.step:,}{of}"}
    heading = words + at.get(progress.state, f" at step {progress.step:,}{of}")
    if progress.state == "stopped" and not progress.step:
        heading = "Begun, and stopped before a step was written down"
    facts = [("Images seen", f"{progress.images:,}" + (f" of {progress.total:,}" if progress.total else ""))]
    if progress.rate:
        facts.append(("Images a second", f"{progress.rate:.3g}"))
    if progress.left is not None:
        facts.append(("Time left", f"about {duration(progress.left)}"))
    facts.append(("Trained for", duration(progress.seconds)))
    if progress.best is not None:
        facts.append(("Lowest validation loss", f"after {progress.best:,} images"))
    if progress.exported is not None:
        facts.append(("The model has the weights of", f"step {progress.exported:,}"))
    if progress.state == "stopped":
        resumes = f"step {progress.resumes:,}" if progress.resumes else "the beginning: nothing was saved yet"
        facts.append(("It would go on from", resumes))
    listed = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in facts)
    share = min(1.0, progress.images / progress.total) if progress.total else None
    bar = (
        f'<progress max="1" value="{share:.4f}" aria-label="{share:.0%} of the images seen"></progress>'
        if share is not None
        else ""
    )
    return f'<section class="state {progress.state}"><h3>{heading}</h3>{bar}<dl>{listed}</dl></section>'


def copies(copying: Copying) -> str:
    """The identity alarm, or that there is none, in words."""
    held = f", and {copying.held_out:.0%} of those of held-out pictures" if copying.held_out is not None else ""
    seen = (
        f"After {copying.images:,} images, {copying.rate:.0%} of the edits are copies of their input{held} (CLIP "
        f"cannot tell them apart: cosine over 0.98). An edit changes a pixel by {copying.change:.1%} of its range on "
        f"average. The CLIP direction is {_signed(copying.direction)}: 1 is just as the words change, 0 not at all."
    )
    if copying.alarmed:
        return notice("wrong", "this run only copies its input", seen, escape(WHAT_TO_DO), _quoted(copying.sentence))
    if copying.sentence:
        when = f"From {copying.since:,} to {copying.until:,} images" if copying.since != copying.until else (
            f"After {copying.until:,} images")  # fmt: skip
        return notice("note", "this run only copied its input for a while, and does not now",
                      f"{when} the alarm was raised.", seen, _quoted(copying.sentence))  # fmt: skip
    if copying.rate > 0.5:
        return notice("note", "most of the edits are still copies of their input", seen,
                      "The alarm is raised at over 90 % copies with a CLIP direction under 0.1.")  # fmt: skip
    if copying.direction < 0.1:
        return notice("note", "the edits are no mere copies, but do not move as the words do", seen)
    return notice("good", "the edits are no mere copies of their input", seen)


def _signed(number: float) -> str:
    return f"{number:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _quoted(sentence: str) -> str:
    return f'<span class="said">The trainer said: {escape(sentence)}</span>'


def _faults(log: Log, unreadable: Unreadable | None) -> str:
    boxes = []
    if log.skipped:
        which = "; ".join(f"step {skip['step']:,}: samples {_short(skip['samples'])}" for skip in log.skips)
        boxes.append(notice(
            "note", f"{_counted(log.skipped, 'step was', 'steps were')} skipped",
            "A loss or its gradient was not finite, so the weights were left alone. Ten in a row end a run. "
            "Some are usual in fp16; in fp32, look at these samples or lower train.learning_rate.",
            f"The last: {escape(which)}." if which else "",
        ))  # fmt: skip
    if unreadable is not None:
        most = "at least " if unreadable.more else ""
        rows = "".join(f"<li><b>{escape(row)}</b>: {escape(why)}</li>" for row, why in unreadable.rows)
        rest = unreadable.count - len(unreadable.rows)
        boxes.append(notice(
            "note", f"{most}{_counted(unreadable.count, 'picture was', 'pictures were')} passed over",
            f"They cannot be read; quarantine.jsonl in the run's folder names them.</p><ul>{rows}</ul><p>"
            + (f"And {rest:,} more." if rest else ""),
        ))  # fmt: skip
    if log.damaged:
        lines = _counted(log.damaged, "line of metrics.jsonl is", "lines of metrics.jsonl are")
        boxes.append(notice("note", f"{lines} damaged", "They are left out here."))
    return "".join(boxes)


def _key() -> str:
    """What the lines and dots of the panels are."""
    entries = (
        ('<polyline class="rough" points="1,9 9,3 17,9 25,3 33,8"/>', "each row of the log"),
        ('<polyline points="1,8 33,4"/>', "its running mean"),
        ('<circle class="held" cx="17" cy="6" r="2.6"/>', "on held-out pictures"),
        ('<circle class="held" cx="17" cy="6" r="2.6"/><circle class="best" cx="17" cy="6" r="5"/>',
         "where their loss was lowest"),
    )  # fmt: skip
    drawn = "".join(
        f'<span><svg viewBox="0 0 34 12" aria-hidden="true">{mark}</svg>{words}</span>' for mark, words in entries
    )
    return f'<p class="key">{drawn}<span>Across: images seen</span></p>'


def losses(curves: Sequence[Curve], share: float, logarithmic: bool, any_: bool) -> str:
    """The panels and their key. share: that each point of the thick line is the mean of. any_: there are curves to
    choose from."""
    if not curves:
        text = "Choose at least one curve above." if any_ else "Nothing is written down yet: the first row comes soon."
        return f'<div class="runs"><p>{text}</p></div>'
    return f'<div class="runs">{_key()}{panels(curves, share, logarithmic)}</div>'


def sample(
    paths: Sequence[Path], number: int, rows: tuple[str, ...], look: str, columns: Sequence[str], none: str
) -> str:
    """Grid `number` (from 1) of the run's, with its rows and columns named. none: what to say without any grid."""
    if not paths:
        return f'<div class="runs"><p>{escape(none)}</p></div>'
    path = paths[min(max(1, number), len(paths)) - 1]
    images = int(path.stem)
    try:
        picture = load_image(path, MAX_PIXELS)
    except UserError:
        text = f"The grid after {images:,} images ({path.name}) cannot be read: it is damaged, or it was removed."
        return f'<div class="runs">{notice("note", escape(text))}</div>'
    shown, form = (picture, "png") if picture.width * picture.height <= EXACT else (_smaller(picture), "webp")
    source = data_uri(shown, form)
    alt = f"Sample grid after {images:,} images" + (f"; rows from the top: {', '.join(rows)}" if rows else "")
    sides = "".join(f"<span>{escape(row)}</span>" for row in rows)
    listed = "".join(f"<li>{escape(text)}</li>" for text in columns)
    words = f"<details><summary>The words of the columns, from the left</summary><ol>{listed}</ol></details>"
    drawn = ' class="drawn"' if form == "png" else ""
    return (
        f'<div class="runs"><p><b>After {images:,} images</b>, grid {number} of {len(paths)}. {escape(look)}</p>'
        f'<div class="grid" tabindex="0" role="group" aria-label="Sample grid; it scrolls sideways">'
        f'<div class="sides" aria-hidden="true">{sides}</div>'
        f'<img{drawn} src="{source}" width="{picture.width}" height="{picture.height}" alt="{escape(alt)}"></div>'
        f"{words if columns else ''}</div>"
    )


def _smaller(picture: Image.Image) -> Image.Image:
    picture.thumbnail((SIDE, SIDE))
    return picture


# Copies the command by the clipboard where the browser allows it, else selects it. The page may draw the button anew.
COPY = """
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const line = element.querySelector("pre");
  try {
    await navigator.clipboard.writeText(line.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(line);
    button.textContent = "Selected: press Ctrl-C";
  }
});
"""


def resume(command: str | None) -> str:
    """The command that goes on with a run, to be copied. None: it is not known."""
    if command is None:
        text = "To go on with it, run the command that began it once more: its recipe is none that ships with uip2p."
        return f'<div class="runs"><p>{text}</p></div>'
    return (
        '<div class="runs"><div class="command"><h3 id="run-resume">To go on with it, should it have stopped</h3>'
        '<button type="button" class="copy">Copy</button></div>'
        f'<pre tabindex="0" aria-labelledby="run-resume">{escape(command)}</pre></div>'
    )


def settings(config: Config, fault: str) -> str:
    """The config as it was written, closed until it is asked for."""
    text = escape(fault) if fault else escape(json.dumps(config, indent=1, ensure_ascii=False))
    opened = f'<summary>The config of this run</summary><pre tabindex="0">{text}</pre>'
    return f'<div class="runs"><details>{opened}</details></div>'


def duration(seconds: float) -> str:
    """90000 → "1 day 1 h": two units at most."""
    whole = round(seconds)
    units = [(whole // 86400, "day" if whole // 86400 == 1 else "days"), (whole // 3600 % 24, "h"),
             (whole // 60 % 60, "min"), (whole % 60, "s")]  # fmt: skip
    first = next((i for i, (count, _) in enumerate(units) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count or first == 3)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _short(samples: Sequence[object]) -> str:
    return ", ".join(map(str, samples[:8])) + (" …" if len(samples) > 8 else "")


def nothing(name: str | None, root: Path) -> str:
    """What to say where there is no run to show. name: of one that was there, None where there never was one."""
    if name is not None:
        heading = f"{name} is gone"
        text = "Its folder was moved or removed. Choose another run."
    else:
        heading = f"there is no run under {root}"
        text = "A run is a folder that uip2p train wrote to. One that begins now will show here by itself."
    return f'<div class="runs">{notice("note", escape(heading), escape(text))}</div>'
