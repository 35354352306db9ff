"""Who is let onto the page."""

from __future__ import annotations

import time

import pytest

from uip2p.errors import UserError
from uip2p.serving.ui.doors import WAIT, find_auth, read_passwords


@pytest.fixture
def people(tmp_path):
    file = tmp_path / "people.txt"
    file.write_text("# those who may\nanna:correct horse: battery\n\nbob:x\n")
    return file


def test_others_are_let_in_only_by_password_or_when_that_is_said(people):
    assert find_auth("127.0.0.1", None, False) is find_auth("::1", None, False) is None
    assert find_auth("0.0.0.0", None, True) is None
    with pytest.raises(UserError, match="--password FILE"):
        find_auth("0.0.0.0", None, False)
    with pytest.raises(UserError, match="either"):
        find_auth("0.0.0.0", people, True)
    may = find_auth("0.0.0.0", people, False)
    assert may("anna", "correct horse: battery") and may("bob", "x")


@pytest.mark.parametrize(("name", "password"), [("bob", "y"), ("bob", ""), ("eve", ""), ("eve", "x"), ("anna", "x")])
def test_whoever_guesses_waits(people, name, password):
    may, began = find_auth("127.0.0.1", people, False), time.monotonic()
    assert not may(name, password) and time.monotonic() - began >= 0.9 * WAIT


@pytest.mark.parametrize(("text", "says"), [
    ("bob", "line 1: write NAME:PASSWORD"), ("a:b\nbob:", "line 2: write"), ("a:b\na:c", "line 2: the name a is there"),
    ("# nobody\n", "nobody in it"), ("", "nobody in it"),
])  # fmt: skip
def test_a_file_that_is_wrong_is_said_with_its_line_and_without_its_secrets(tmp_path, text, says):
    file = tmp_path / "people.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=says) as wrong:
        read_passwords(file)
    assert "bob" not in str(wrong.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_passwords(tmp_path / "none.txt")
