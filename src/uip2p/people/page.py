"""What a rater sees: pure functions from a study to HTML, and the script and style that go with it.

A question is one form. Every picture has two boxes below it, one a question, so that nobody scrolls between pictures
and answers. All is plain HTML: labels, boxes and buttons, which a keyboard, a thumb and a screen reader know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import ascii_uppercase

from uip2p.people.study import CHOICES, QUESTIONS, Item, Study

SHORT = {"match": "Matches best", "preserve": "Preserves best"}  # on the boxes; the questions stand above
STYLE = files("uip2p.people").joinpath("page.css").read_text(encoding="utf-8")
SCRIPT = files("uip2p.people").joinpath("page.js").read_text(encoding="utf-8")
NOTHING: Mapping[str, Sequence[str]] = {}
LOADING = '<div class="study"><p>Loading …</p></div>'


def welcome(study: Study) -> str:
    """What is asked, how long it is, what is kept: before anything is."""
    count = len(study.items)
    questions = "".join(f"<li>{escape(question)}</li>" for question in QUESTIONS.values())
    return f"""<div class="study narrow"><h1 tabindex="-1">Which edits are best?</h1>
<p>You will see {_number(count, "picture")}, one after the other. Each was edited by several programs that were given
the same instruction. For each, we ask two things:</p>
<ol>{questions}</ol>
<p>Choose what you think is best, even if no picture is perfect. For a few the right choice is plain: they show us that
people look. An answer is final once you press Next; you cannot go back to it. You may stop at any time, and go on later
in this browser.</p>
<p>We store your choices and how many seconds each took, under a random number that this browser keeps. We store nothing
about you: no name, no address, no date, and nothing about your device. Taking part is voluntary.</p>
<p class="end"><button type="button" data-begin>Start</button></p></div>"""


def question(
    study: Study, rater: str, item: Item, done: int, chosen: Mapping[str, Sequence[str]] = NOTHING, message: str = ""
) -> str:
    """One item. done: items answered before. chosen, message: what was chosen and what is wrong with it."""
    number, count = done + 1, len(study.items)
    cards = []
    for letter, name in zip(ascii_uppercase, study.candidates(rater, item), strict=False):
        boxes = "".join(
            f'<label><input type="checkbox" data-question="{key}" value="{name}" '
            f'aria-label="Picture {letter}: {SHORT[key].lower()}"{" checked" * (name in chosen.get(key, ()))}>'
            f"<span><b>{place}</b> {SHORT[key]}</span></label>"
            for place, key in enumerate(QUESTIONS, 1)
        )
        cards.append(
            f'<figure role="group" aria-label="Picture {letter}"><figcaption>{letter}</figcaption>'
            f'<img src="pictures/{name}" alt="Edited picture {letter}">{boxes}</figure>'
        )
    asked = "".join(f'<li id="ask-{key}">{escape(text)}</li>' for key, text in QUESTIONS.items())
    counts = " ".join(
        f'<span data-count="{key}">Question {place}: <b>0</b> of {CHOICES}</span>'
        for place, key in enumerate(QUESTIONS, 1)
    )
    # Gradio patches the page in place, and would keep ticks and old pictures; a tag of another name it replaces whole.
    return f"""<item-{item.id}><form class="study" data-item="{item.id}" data-choices="{CHOICES}" novalidate>
<p class="progress"><span>{number} of {count}</span>
<progress value="{done}" max="{count}" aria-label="{done} of {count} answered"></progress></p>
<div class="given"><img src="pictures/{item.input}" alt="Picture before the edit">
<div><p>Before the edit. The instruction:</p><h1 tabindex="-1">“{escape(item.instruction)}”</h1></div></div>
<ol>{asked}</ol>
<div class="cards">{"".join(cards)}</div>
<div class="end"><p class="message" role="alert">{escape(message)}</p><p class="counts" role="status">{counts}</p>
<button type="submit">Next</button></div></form></item-{item.id}>"""


def thanks(study: Study) -> str:
    return f"""<div class="study narrow"><h1 tabindex="-1">Thank you!</h1>
<p>All {len(study.items)} answers are stored. You can close this page.</p></div>"""


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
