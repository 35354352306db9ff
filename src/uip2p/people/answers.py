"""Answers in SQLite: whole or not at all, by several people at once, and nothing about who they are.

A rater is a random number that their browser keeps. No name, address, browser or date is stored, and the tables are
ordered by their keys, so that not even the order in which people came can be read from the file.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uip2p.errors import UserError
from uip2p.people.study import CHOICES, QUESTIONS, Item, Study

RATER = re.compile(r"[0-9a-f]{32}")  # secrets.token_hex(16)
WAIT = 30  # seconds for another writer's turn
SCHEMA = """
CREATE TABLE study (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE answers (
    rater TEXT NOT NULL, item TEXT NOT NULL, seconds INTEGER,
    PRIMARY KEY (rater, item)
) WITHOUT ROWID;
CREATE TABLE choices (
    rater TEXT NOT NULL, item TEXT NOT NULL, question TEXT NOT NULL, picture TEXT NOT NULL,
    PRIMARY KEY (rater, item, question, picture),
    FOREIGN KEY (rater, item) REFERENCES answers (rater, item)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One item by one rater. choices: question → the pictures chosen. seconds: from seeing the item to its answer, None
    where the server was started anew meanwhile."""

    rater: str
    item: str
    choices: Mapping[str, frozenset[str]]
    seconds: int | None


def fault(item: Item, choices: Mapping[str, Sequence[str]]) -> str | None:
    """What is wrong with the choices for an item, None if nothing: two different candidates of it for each question."""
    for question in QUESTIONS:
        chosen = choices.get(question, ())
        if len(set(chosen)) != CHOICES or len(chosen) != CHOICES:
            return f"Please choose {CHOICES} pictures for each question."
        if not set(chosen) <= set(item.candidates):
            return "This page is of another study. Please reload it."
    return None


class Answers:
    """The file of answers of one study, made if it is not there. Every call is a transaction of its own on its own
    connection, so threads and processes may share the file. UserError: not such a file, or of another study."""

    def __init__(self, path: Path, study: Study, create: bool = True):
        self.path, self.study = path, study
        if not create and not path.is_file():
            raise UserError(f"{path}: there is no such file: nobody has answered. Name it with --answers.")
        if not path.parent.is_dir():
            raise UserError(f"{path}: the folder {path.parent} does not exist. Create it first.")
        try:
            with self._connect() as database:
                # IMMEDIATE: of two servers that start at once, the second waits, and then finds the tables.
                database.execute("BEGIN IMMEDIATE" if create else "BEGIN")
                if create and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                    for statement in filter(str.strip, SCHEMA.split(";")):
                        database.execute(statement)
                    database.execute("INSERT INTO study VALUES (?)", (study.id,))
                found = database.execute("SELECT id FROM study").fetchone()
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise UserError(f"{path}: is not a file of answers that can be opened ({error}).") from None
        if found is None or found[0] != study.id:
            raise UserError(f"{path}: has answers to another study. Name this study's with --answers.")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # an answer that was thanked for outlives a power cut
            database.execute("PRAGMA foreign_keys = ON")
            yield database
        finally:
            database.close()

    def add(self, rater: str, item: Item, choices: Mapping[str, Sequence[str]], seconds: int | None) -> bool:
        """Store an answer; False if there is one already: the first is final. ValueError: see `fault`."""
        if (wrong := fault(item, choices)) or not RATER.fullmatch(rater):
            raise ValueError(wrong or "no rater")
        with self._connect() as database:
            database.execute("BEGIN IMMEDIATE")
            new = database.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (rater, item.id, seconds)).rowcount
            if new:
                rows = [(rater, item.id, question, name) for question in QUESTIONS for name in choices[question]]
                database.executemany("INSERT INTO choices VALUES (?, ?, ?, ?)", rows)
            database.execute("COMMIT")
        return bool(new)

    def answered(self, rater: str) -> set[str]:
        """The items that this rater has answered."""
        with self._connect() as database:
            return {item for (item,) in database.execute("SELECT item FROM answers WHERE rater = ?", (rater,))}

    def all(self) -> list[Answer]:
        """Every answer, by rater and item."""
        with self._connect() as database:
            database.execute("BEGIN")  # both tables as of one moment
            answers = database.execute("SELECT rater, item, seconds FROM answers ORDER BY rater, item").fetchall()
            choices: dict[tuple[str, str], dict[str, set[str]]] = {}
            for rater, item, question, picture in database.execute("SELECT * FROM choices"):
                choices.setdefault((rater, item), {}).setdefault(question, set()).add(picture)
            database.execute("COMMIT")
        return [
            Answer(rater, item, {name: frozenset(found) for name, found in choices[rater, item].items()}, seconds)
            for rater, item, seconds in answers
        ]
