"""The page in a real headless Chromium, on the real server: three raters at once, from the first page to the report.

All that the raters do is in `Rater`; the figures of the report are recomputed from what they clicked."""

from __future__ import annotations

import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from uip2p.errors import UserError
from uip2p.people import answers as store
from uip2p.people.answers import Answers
from uip2p.people.counting import PRIOR
from uip2p.people.report import Rules, report
from uip2p.people.serve import Page, Stranger, serve
from uip2p.people.study import QUESTIONS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs it: pip install 'uip2p[ui]'")

SERVE = """
import argparse, sys
from uip2p.people import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
command.run(parser.parse_args(["serve", *sys.argv[1:]]))
"""
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1200, "height": 900}}
TASTES = [  # rater → question → methods, the best first
    {"match": ("UIP2P", "HIVE", "copy-input"), "preserve": ("copy-input", "UIP2P", "HIVE")},
    {"match": ("UIP2P", "InstructPix2Pix", "HIVE"), "preserve": ("copy-input", "HIVE", "UIP2P")},
    {"match": ("copy-input", "HIVE", "UIP2P"), "preserve": ("InstructPix2Pix", "HIVE", "UIP2P")},
]


@contextmanager
def server(made, answers: Path) -> Iterator[str]:
    """The address of `study serve`, which is stopped by SIGTERM at the end and has to end well."""
    command = [sys.executable, "-c", SERVE, str(made.folder), "--port", "0", "--answers", str(answers)]
    with (
        open(answers.with_suffix(".log"), "w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield process.stdout.readline().split()[0]
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=30)[0]
            log.seek(0)
            assert (process.returncode, log.read()) == (0, "") and "Stopped." in told
        finally:
            process.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'uip2p[dev]'")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Rater:
    """A person with a browser of their own. clicked: item → question → the pictures they chose."""

    def __init__(self, chromium, address, made, taste, screen, attentive=True):
        self.made, self.taste, self.attentive, self.phone = made, taste, attentive, screen is PHONE
        self.clicked: dict[str, dict[str, frozenset[str]]] = {}
        self.asked: list[str] = []
        self.problems: list[str] = []
        self.address = address
        self.page = chromium.new_context(**screen).new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)

    def open(self) -> None:
        self.page.goto(self.address, wait_until="commit")

    def start(self) -> None:
        button = self.page.get_by_role("button", name="Start")
        button.tap() if self.phone else button.click()

    def wait(self, number: int) -> None:
        self.page.get_by_text(f"{number} of {len(self.made.study.items)}", exact=True).wait_for()
        self.page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")

    def item(self) -> str:
        return self.page.locator("form").get_attribute("data-item")

    def shown(self) -> list[str]:
        return self.page.locator("figure img").evaluate_all("all => all.map(image => image.src.split('/').pop())")

    def wants(self, item: str, shown: list[str], question: str) -> list[str]:
        """The two pictures that this person likes best."""
        if item in self.made.key.checks:
            right = self.made.key.checks[item]
            return [name for name in shown if (name in right) == self.attentive]
        liked = [n for n, _ in enumerate(shown)]
        liked.sort(key=lambda n: (*self.taste[question], *self.made.key.methods).index(
            self.made.key.pictures[shown[n]]
        ))  # fmt: skip
        return [shown[n] for n in liked[:2]]

    def box(self, question: str, name: str):
        return self.page.locator(f'input[data-question="{question}"][value="{name}"]')

    def choose(self) -> None:
        item, shown = self.item(), self.shown()
        self.clicked[item] = {}
        for question in QUESTIONS:
            wanted = self.wants(item, shown, question)
            for name in wanted:
                box = self.box(question, name)
                box.tap() if self.phone else box.check()
            self.clicked[item][question] = frozenset(wanted)

    def press_next(self) -> None:
        button = self.page.get_by_role("button", name="Next")
        button.tap() if self.phone else button.click()

    def width(self) -> tuple[int, int]:
        return tuple(self.page.evaluate("[document.scrollingElement.scrollWidth, window.innerWidth]"))


@needs_chromium
@needs_gradio
def test_three_raters_at_once_from_the_first_page_to_the_report(chromium, small, tmp_path):
    count = len(small.study.items)
    file = tmp_path / "answers.sqlite"
    with server(small, file) as address:
        assert urlsplit(address).hostname == "127.0.0.1"
        raters = [
            Rater(chromium, address, small, TASTES[0], PHONE), Rater(chromium, address, small, TASTES[1], DESKTOP),
            Rater(chromium, address, small, TASTES[2], DESKTOP, attentive=False),
        ]  # fmt: skip
        phone, desktop, _ = raters
        for rater in raters:
            rater.open()
        for rater in raters:
            rater.start()
        for number in range(1, count + 1):
            for rater in raters:
                rater.wait(number)
                assert rater.page.locator("input:checked, input:disabled").count() == 0
            assert phone.width()[0] <= phone.width()[1] == 360
            if number == 1:
                check_a_question(phone, small)
                check_refusals(desktop)
            if number == 2:  # in the middle: the same item in the same order, and what was chosen is not sent
                before = desktop.item(), desktop.shown()
                desktop.choose()
                desktop.page.reload()
                desktop.wait(number)
                assert (desktop.item(), desktop.shown()) == before
                assert desktop.page.locator("input:checked").count() == 0
            for rater in raters:
                rater.choose()
            for rater in raters:
                rater.press_next()
        for rater in raters:
            rater.page.get_by_role("heading", name="Thank you!").wait_for()
        assert phone.width()[0] <= phone.width()[1]
        desktop.page.reload()
        desktop.page.get_by_role("heading", name="Thank you!").wait_for()
        check_doors(address, small)
        for rater in raters:
            assert {urlsplit(url).netloc for url in rater.asked if not url.startswith("data:")} == {
                urlsplit(address).netloc
            }
            assert rater.problems == []
            assert rater.page.context.cookies() == []
    for rater in raters:  # only now: an open page does not keep the server from its end
        rater.page.context.close()

    stored = Answers(file, small.study, create=False).all()
    assert len(stored) == 3 * count and all(answer.seconds is not None for answer in stored)
    by_rater: dict[str, dict] = {}
    for answer in stored:
        by_rater.setdefault(answer.rater, {})[answer.item] = dict(answer.choices)
    assert sorted(map(repr_of, by_rater.values())) == sorted(repr_of(rater.clicked) for rater in raters)
    check_report(small, stored, raters)


def repr_of(choices) -> str:
    return repr(sorted((item, q, sorted(names)) for item, given in choices.items() for q, names in given.items()))


def check_a_question(rater: Rater, made) -> None:
    """Nothing tells a method, targets are large, every box and picture has a name."""
    page = rater.page
    content = page.content() + page.evaluate("JSON.stringify(window.gradio_config)")
    for secret in (*made.key.methods, *made.key.samples.values(), str(made.folder), str(made.key_file)):
        assert secret not in content
    alts = [image.get_attribute("alt") for image in page.locator("form img").all()]
    assert alts == ["Picture before the edit", *(f"Edited picture {letter}" for letter in "ABCD")]
    labels = [box.get_attribute("aria-label") for box in page.locator("form input").all()]
    assert len(set(labels)) == len(labels) == 8
    item = next(item for item in made.study.items if item.id == rater.item())
    assert page.locator("h1").inner_text() == f"“{item.instruction}”"  # as text: its <b> is not a tag
    for target in (*page.locator("form label").all(), page.get_by_role("button", name="Next")):
        box = target.bounding_box()
        assert box["height"] >= 44 and box["width"] >= 100 and box["x"] >= 0 and box["x"] + box["width"] <= 360


def check_refusals(rater: Rater) -> None:
    """By keyboard alone: too few are refused in words, a third cannot be chosen, one can be taken back."""
    page = rater.page
    rater.press_next()
    assert "Please choose 2 pictures for question 1." in page.locator("form [role=alert]").inner_text()
    names = rater.shown()
    assert page.evaluate("document.activeElement.value") == names[0]  # there the choice is to be made
    page.keyboard.press("Space")
    page.keyboard.press("Tab")  # to the other question of the same picture
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator(".counts span").all_inner_texts() == ["Question 1: 2 of 2", "Question 2: 0 of 2"]
    assert [rater.box("match", name).is_disabled() for name in names] == [False, False, True, True]
    page.keyboard.press("Enter")  # as anywhere in a form: Next
    assert "Please choose 2 pictures for question 2." in page.locator("form [role=alert]").inner_text()
    for name in names[:2]:
        rater.box("match", name).focus()
        page.keyboard.press("Space")
    assert not rater.box("match", names[3]).is_disabled()


def check_doors(address: str, made) -> None:
    """What Gradio could do besides is closed, and no door leads to the key."""
    for path in (
        f"/gradio_api/file={made.key_file}", f"/gradio_api/file={made.folder / 'study.json'}", "/gradio_api/upload",
        "/pictures/../study.json", "/pictures/%2e%2e/study.json", "/pictures/", "/docs", "/monitoring",
    ):  # fmt: skip
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}{path}")
        assert refused.value.code in (403, 404, 405), path
    with urllib.request.urlopen(address) as reply:
        assert "default-src 'self'" in reply.headers["content-security-policy"]
        assert "set-cookie" not in reply.headers


def check_report(made, stored, raters) -> None:
    """The report's figures from the clicks of the two who looked, by counting."""
    key, kept = made.key, raters[:2]
    result = report(made.study, key, stored, Rules(min_seconds=0))
    assert result["raters"] == 2 and [one["reasons"] for one in result["excluded"]] == [["failed checks: 1 of 1"]]
    for question in QUESTIONS:
        figures = result["figures"][question]
        items = [item for item in made.study.items if item.id not in key.checks]
        votes: Counter[str] = Counter()
        wins: Counter[tuple[str, str]] = Counter()
        units = []
        for item in items:
            for rater in kept:
                chosen = rater.clicked[item.id][question]
                votes.update(key.pictures[name] for name in chosen)
                wins.update(
                    (key.pictures[one], key.pictures[other])
                    for one in chosen for other in item.candidates if other not in chosen
                )  # fmt: skip
            units += [[name in rater.clicked[item.id][question] for rater in kept] for name in item.candidates]
        assert sum(votes.values()) == 2 * 2 * len(items)
        for method in key.methods:
            row = figures["methods"][method]
            assert row["votes"] == votes[method] and row["share"] == votes[method] / sum(votes.values())
            expected = sum(
                (wins[method, other] + wins[other, method] + 2 * PRIOR)
                / (1 + np.exp(figures["methods"][other]["strength"] - row["strength"]))
                for other in key.methods if other != method
            )  # fmt: skip
            assert expected == pytest.approx(sum(wins[method, o] + PRIOR for o in key.methods if o != method), abs=1e-6)
        differ = np.mean([a != b for unit in units for a, b in combinations(unit, 2)])
        by_chance = np.mean([a != b for a, b in combinations([answer for unit in units for answer in unit], 2)])
        assert figures["agreement"] == pytest.approx(1 - differ / by_chance)


def test_a_port_that_is_taken_is_said(made, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="Address already in use"):
        serve(made.study, made.folder, Answers(tmp_path / "a", made.study), "127.0.0.1", taken.getsockname()[1])


def test_the_page_believes_no_browser(made, tmp_path):
    """What no page of ours would send is refused, and nothing of it stored."""
    answers = Answers(tmp_path / "a.sqlite", made.study)
    page = Page(made.study, answers)
    html, rater = page.begun("Robert'); DROP TABLE answers;--")
    assert len(rater) == 32 and "1 of 4" in html
    assert page.begun(rater) == (html, rater)  # who starts twice stays the same person
    item, following = made.study.order(rater)[:2]
    assert f'data-item="{item.id}"' in html
    good = {question: list(item.candidates[:2]) for question in QUESTIONS}
    for who, which, what in (
        (None, item.id, good), ("x", item.id, good), (rater, "x", good), (rater, ["x"], good), (rater, item.id, None),
        (rater, item.id, {**good, "match": "ab"}), (rater, item.id, {**good, "match": [1, 2]}),
    ):  # fmt: skip
        with pytest.raises(Stranger, match="reload"):
            page.answered(who, which, what)
    for wrong in (good["match"][:1], [*item.candidates[:3]], [item.candidates[0]] * 2, [item.input, "study.json"]):
        html = page.answered(rater, item.id, {**good, "match": wrong})
        assert 'role="alert">Please choose' in html or "another study" in html
        assert f'data-item="{item.id}"' in html
    assert answers.all() == []
    html = Page(made.study, answers).answered(rater, item.id, good)  # the server was started anew meanwhile
    assert "2 of 4" in html and f'data-item="{following.id}"' in html and answers.all()[0].seconds is None
    page.answered(rater, item.id, {**good, "match": list(item.candidates[2:4])})  # a second tab
    assert answers.all()[0].choices["match"] == frozenset(item.candidates[:2])
    assert "2 of 4" in page.opened(rater) and "Start" in page.opened("f" * 32)


@needs_gradio
@pytest.mark.slow
def test_gradio_shows_a_stranger_what_is_wrong(made, tmp_path):
    from uip2p.people import application

    page = Page(made.study, Answers(tmp_path / "a.sqlite", made.study))
    for sent in (None, {"item": "x", "choices": {}}):
        with pytest.raises(application.gr.Error, match="reload"):
            application.answered(page, "0" * 32, sent)


def test_the_clock_runs_from_the_first_sight_of_an_item(made, tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    answers = Answers(tmp_path / "a.sqlite", made.study)
    page = Page(made.study, answers)
    _, rater = page.begun(None)
    for item, waits in zip(made.study.order(rater), ((3.6,), (2, 5), (0.2,), (60,)), strict=True):
        for wait in waits:
            now[0] += wait
            page.opened(rater)  # a reload
        html = page.answered(rater, item.id, {question: list(item.candidates[:2]) for question in QUESTIONS})
    assert "Thank you" in html
    seconds = {answer.item: answer.seconds for answer in answers.all()}
    assert [seconds[item.id] for item in made.study.order(rater)] == [4, 7, 0, 60]


def test_what_cannot_be_stored_is_told_and_the_choices_stay(made, tmp_path, monkeypatch, capsys):
    """Another program holds the file for writing, and does not let go."""
    answers = Answers(tmp_path / "a.sqlite", made.study)
    page = Page(made.study, answers)
    _, rater = page.begun(None)
    item = made.study.order(rater)[0]
    wanted = {question: list(item.candidates[:2]) for question in QUESTIONS}
    monkeypatch.setattr(store, "WAIT", 0.2)
    with closing(sqlite3.connect(answers.path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        html = page.answered(rater, item.id, wanted)
        holder.execute("ROLLBACK")
    assert "could not be stored" in html and html.count(" checked") == 4 and f'data-item="{item.id}"' in html
    assert "locked" in capsys.readouterr().err
    assert "2 of 4" in page.answered(rater, item.id, wanted)
