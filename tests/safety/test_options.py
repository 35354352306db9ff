"""--policy and --safety-checker."""

from __future__ import annotations

import argparse

import pytest

from uip2p.errors import UserError
from uip2p.safety import options
from uip2p.safety.policy import FILE
from uip2p.safety.refused import Refused


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return parser.parse_args(arguments)


def test_by_default_the_policy_that_ships_and_the_models_own_checker(tiny_folder):
    safety = options.from_args(parse(), str(tiny_folder))
    with pytest.raises(Refused):
        safety.policy.check("undress her")
    assert safety.checker is None
    assert [line.split(":")[0] for line in safety.describe()] == ["policy 'default'", "safety checker"]


def test_both_as_given(checker_folder, flagged):
    safety = options.from_args(parse("--policy", "none", "--safety-checker", str(checker_folder)))
    safety.policy.check("undress her")
    assert safety.checker.flagged([flagged]) == [True] and str(checker_folder) in safety.describe()[1]
    assert options.from_args(parse("--policy", str(FILE), "--safety-checker", "none")).policy.name == str(FILE)


def test_errors_are_sentences(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        options.from_args(parse("--policy", str(tmp_path / "x.toml")))
    with pytest.raises(UserError, match="not a folder with a safety checker"):
        options.from_args(parse("--safety-checker", str(tmp_path)[1:] + "/x"))
