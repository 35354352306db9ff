"""The file of answers: whole or not at all, by many writers, and nothing about anybody."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from uip2p.errors import UserError
from uip2p.people.answers import Answers, fault
from uip2p.people.study import Item, Study

ITEMS = tuple(Item(f"i{n}", "do it", f"in{n}", tuple(f"p{n}{letter}" for letter in "abcd")) for n in range(200))
STUDY = Study("one", "shuffle", ITEMS)
WRITER = """
import sys
from uip2p.people.answers import Answers
from test_answers import STUDY, choice
answers = Answers(__import__("pathlib").Path(sys.argv[1]), STUDY)
for item in STUDY.items:
    answers.add(sys.argv[2], item, choice(item), 3)
    print(item.id, flush=True)
"""


def choice(item, match="ab", preserve="bc"):
    return {name: [f"p{item.id[1:]}{x}" for x in letters] for name, letters in
            (("match", match), ("preserve", preserve))}  # fmt: skip


def rater(number: int) -> str:
    return f"{number:032x}"


def test_the_first_answer_is_final(tmp_path):
    answers = Answers(tmp_path / "a.sqlite", STUDY)
    assert answers.add(rater(1), ITEMS[0], choice(ITEMS[0]), 12)
    assert not answers.add(rater(1), ITEMS[0], choice(ITEMS[0], "cd", "cd"), 1)
    assert answers.add(rater(2), ITEMS[0], choice(ITEMS[0], "cd", "cd"), None)
    assert answers.answered(rater(1)) == {"i0"} and answers.answered(rater(3)) == set()
    first, second = Answers(tmp_path / "a.sqlite", STUDY, create=False).all()  # by another opening of the file
    assert (first.rater, first.item, first.seconds) == (rater(1), "i0", 12)
    assert first.choices == {"match": {"p0a", "p0b"}, "preserve": {"p0b", "p0c"}}
    assert (second.rater, second.seconds) == (rater(2), None)


def test_what_is_no_answer_is_not_stored(tmp_path):
    answers = Answers(tmp_path / "a.sqlite", STUDY)
    item = ITEMS[0]
    for wrong in (
        choice(item, "a"), choice(item, "abc"), choice(item, "aa"), choice(item, "ab", ""), {"match": ["p0a", "p0b"]},
        choice(ITEMS[1]), {},
    ):  # fmt: skip
        assert fault(item, wrong)
        with pytest.raises(ValueError):
            answers.add(rater(1), item, wrong, 3)
    with pytest.raises(ValueError):
        answers.add("Jane Doe", item, choice(item), 3)
    assert answers.all() == []


def test_many_writers_at_once_lose_nothing(tmp_path):
    """Eight threads, each as another rater, and two that press the same button twice; opened by each anew."""
    path = tmp_path / "a.sqlite"

    def write(number: int) -> int:
        answers = Answers(path, STUDY)
        return sum(answers.add(rater(number // 2), item, choice(item), number) for item in ITEMS[:12])

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(write, range(8)))
    assert sum(stored) == 4 * 12
    found = Answers(path, STUDY).all()
    assert {(answer.rater, answer.item) for answer in found} == {
        (rater(number), item.id) for number in range(4) for item in ITEMS[:12]
    }
    assert all(len(answer.choices["match"]) == len(answer.choices["preserve"]) == 2 for answer in found)


def test_a_killed_writer_leaves_whole_answers(tmp_path):
    path = tmp_path / "a.sqlite"
    command = [sys.executable, "-c", WRITER, str(path), rater(1)]
    folder = str(__import__("pathlib").Path(__file__).parent)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        told = [process.stdout.readline().strip() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
    assert process.returncode == -signal.SIGKILL and len(told) < len(ITEMS)
    answers = Answers(path, STUDY)
    found = answers.all()
    assert set(told) <= {answer.item for answer in found} and len(found) <= len(told) + 1
    assert all({len(chosen) for chosen in answer.choices.values()} == {2} for answer in found)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert answers.add(rater(1), ITEMS[-1], choice(ITEMS[-1]), 3)


def test_nothing_is_stored_about_anybody(tmp_path):
    path = tmp_path / "a.sqlite"
    Answers(path, STUDY).add(rater(1), ITEMS[0], choice(ITEMS[0]), 3)
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        columns = {row[1] for (table,) in tables for row in database.execute(f"PRAGMA table_info({table})")}
        assert columns == {"id", "rater", "item", "question", "picture", "seconds"}
        for (table,) in tables:  # no rowid: not even who came first
            with pytest.raises(sqlite3.OperationalError):
                database.execute(f"SELECT rowid FROM {table}")


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "a.sqlite"
    Answers(path, STUDY)
    with pytest.raises(UserError, match="another study"):
        Answers(path, Study("two", "", ITEMS))
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(UserError, match="is not a file of answers"):
        Answers(tmp_path / "text", STUDY)
    with pytest.raises(UserError, match="nobody has answered"):
        Answers(tmp_path / "none", STUDY, create=False)
    with pytest.raises(UserError, match="does not exist"):
        Answers(tmp_path / "none" / "a.sqlite", STUDY)
