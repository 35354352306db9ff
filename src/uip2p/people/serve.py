"""What happens on the page, and its server: the page is opened, a rater starts, a rater answers."""

from __future__ import annotations

import secrets
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from uip2p.people import page
from uip2p.people.answers import RATER, Answers, fault
from uip2p.people.study import QUESTIONS, Item, Study
from uip2p.serving.ports import address, listen, run


class Stranger(Exception):
    """What came is nothing that a page of this study sends. The message is for whoever sees it."""


class Page:
    """The three things that happen: the page is opened, a rater starts, a rater answers."""

    def __init__(self, study: Study, answers: Answers):
        self.study, self.answers = study, answers
        self.items = {item.id: item for item in study.items}
        self.seen: dict[str, tuple[str, float]] = {}  # rater → the item they see, and since when (monotonic clock)

    def opened(self, rater: Any) -> str:
        """Whoever has answered goes on where they stopped; anybody else is welcomed."""
        return self.next(rater) if known(rater) and self.answers.answered(rater) else page.welcome(self.study)

    def begun(self, rater: Any) -> tuple[str, str]:
        """Only now does the browser get its number to keep."""
        rater = rater if known(rater) else secrets.token_hex(16)
        return self.next(rater), rater

    def answered(self, rater: Any, item_id: Any, choices: Any) -> str:
        """Stores the answer, and shows the next item; or the same one with what is wrong. Trusts no browser.

        Stranger: no page of ours sends such a thing."""
        item = self.items.get(item_id) if isinstance(item_id, str) else None
        if item is None or not known(rater) or not _readable(choices):
            raise Stranger("This page is not of this study. Please reload it.")
        seen, since = self.seen.get(rater, ("", 0.0))
        seconds = round(time.monotonic() - since) if seen == item.id else None
        message = fault(item, choices)
        if not message:
            try:
                self.answers.add(rater, item, choices, seconds)
            except sqlite3.Error as error:
                print(f"an answer could not be stored: {error}", file=sys.stderr)
                message = "Your answer could not be stored. Please press Next again."
        if message:
            done = len(self.answers.answered(rater))
            return page.question(self.study, rater, item, done, choices, message)
        return self.next(rater)

    def next(self, rater: str) -> str:
        answered = self.answers.answered(rater)
        item: Item | None = next((item for item in self.study.order(rater) if item.id not in answered), None)
        if item is None:
            self.seen.pop(rater, None)
            return page.thanks(self.study)
        if self.seen.get(rater, ("",))[0] != item.id:  # a reload does not start the clock anew
            self.seen[rater] = item.id, time.monotonic()
        return page.question(self.study, rater, item, len(answered))


def known(rater: Any) -> bool:
    return isinstance(rater, str) and RATER.fullmatch(rater) is not None


def _readable(choices: Any) -> bool:
    return isinstance(choices, dict) and all(
        isinstance(choices.get(question), list) and all(isinstance(name, str) for name in choices[question])
        for question in QUESTIONS
    )


def serve(study: Study, folder: Path, answers: Answers, host: str, port: int) -> None:
    """Serves until SIGTERM or Ctrl-C, then lets open requests end. UserError: the port is taken, no
    such host, or no Gradio."""
    with listen(host, port) as listening:
        from uip2p.people.application import application  # takes seconds to import, and nothing else here needs it

        app = application(Page(study, answers), folder)
        print(f"{address(host, listening)} asks {len(study.items)} items. Ctrl-C stops.", flush=True)
        run(app, listening)
    print(f"Stopped. The answers are in {answers.path}.", flush=True)
