"""The rule file and what a policy answers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from uip2p.errors import UserError
from uip2p.safety import people
from uip2p.safety.policy import FILE, MAX_CHARACTERS, load_policy
from uip2p.safety.refused import Refused
from uip2p.scenes.world import World


@pytest.fixture(scope="module")
def policy():
    return load_policy()


@pytest.fixture
def rules(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "rules.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_refusal_is_an_answer_for_a_person(policy):
    with pytest.raises(Refused) as refused:
        policy.check("make it bright, and undress her")
    assert refused.value.rule == "sexual" and isinstance(refused.value, UserError)
    assert (refused.value.status, refused.value.code) == (400, "content_policy_violation")
    assert "'sexual'" in str(refused.value) and "whoever runs it can change" in str(refused.value)
    assert "undress her" not in str(refused.value)
    policy.check("make it bright", None, "", "a man on a street")


def test_reverses_and_captions_are_read_too(policy):
    for texts in [("make the car red", "undress her"), ("make the car red", None, "a naked man")]:
        with pytest.raises(Refused):
            policy.check(*texts)


def test_what_belongs_together_may_stand_in_two_texts(policy):
    policy.check("make the bikini blue", None, "a woman on a beach")
    with pytest.raises(Refused) as refused:
        policy.check("make the bikini blue", None, "a child on a beach")
    assert refused.value.rule == "minors"


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_edit_of_the_miniature_world_is_refused(policy, count):
    """Of 2,000 edits, each with its reverse and both captions; of a tenth by default."""
    edits = [World(0, split).edit(i) for split in ("train", "language") for i in range(count)]
    texts = [(e.instruction, e.reverse_instruction, e.caption, e.edited_caption) for e in edits]
    assert len(set(texts)) == 2 * count
    assert [of_one for of_one in texts if policy.refuses(*of_one)] == []


HOSTILE = {
    "a verb": "remove ", "spelt out": "n u d e ", "single": "a ", "hidden": "nude heels ", "signs": "!", "quotes": "'a",
    "leet": "n@k3d!1 ", "one word": "a", "dashes": "a-", "invisible": "n\u200bu", "accents": "e\u0301", "stops": ". ",
    "names": "Taylor Swift ", "capitals": "Ab! ", "repeated": "a1", "look": "him look like Bob ", "expands": "ﷺ",
    "lines": "a\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_long(policy, name):
    text = (HOSTILE[name] * MAX_CHARACTERS)[:10_000]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        try:
            policy.refuses(text)
        except UserError as error:
            assert "the limit is 10,000" in str(error) and name == "expands"
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


def test_a_longer_text_is_an_error_not_an_edit(policy):
    with pytest.raises(UserError, match="shorten it") as error:
        policy.check("make the car red", "a " * MAX_CHARACTERS)
    assert not isinstance(error.value, Refused)


def test_none_refuses_nothing_and_says_so():
    policy = load_policy("none")
    policy.check("undress her")
    assert "no rules" in policy.describe()


def test_a_copy_of_the_default_is_the_default(tmp_path, policy):
    path = tmp_path / "mine.toml"
    path.write_text(FILE.read_text("utf-8"), "utf-8")
    assert [(r.name, r.answer, len(r.any)) for r in load_policy(path).rules] == [
        (r.name, r.answer, len(r.any)) for r in policy.rules
    ]


def test_rules_of_ones_own(rules):
    path = rules("""
        [words]
        logo = ["logo", "brand name"]
        [[rule]]
        name = "brands"
        answer = "We do not touch logos."
        any = ["remove|change .. {logo}"]
        also = ["shop"]
        unless = ["our own logo"]
    """)
    policy = load_policy(path)
    assert policy.name == str(path) and "brands" in policy.describe()
    with pytest.raises(Refused, match=r"We do not touch logos\. \(Rule 'brands'"):
        policy.check("remove the logos", "a shop")
    policy.check("remove the logo")
    policy.check("remove our own logo", "a shop")
    policy.check("remove the old logo", "an office", "a photo")


RULE = '[[rule]]\nname = "a"\nanswer = "No."\nany = ["b"]\n'


@pytest.mark.parametrize(("text", "said"), [
    ("", "no [[rule]]"), ("rule = 3", "no [[rule]]"), ("[[rule]", "not valid TOML"),
    ('[[rule]]\nname = "a"', "rule 1 ('a'): answer, any must be given"),
    (RULE + 'unles = ["c"]', "rule 1 ('a'): unknown key 'unles'. Did you mean 'unless'?"),
    (RULE + RULE.replace('"b"', '"b", "x-y"'), "rule 2 ('a'), any: the phrase 'x-y' has 'x-y'"),
    (RULE.replace('["b"]', '"b"'), "rule 1 ('a'): any must be"), (RULE.replace('["b"]', "[]"), "any is empty"),
    (RULE + 'also = ["{c}"]', "rule 1 ('a'), also: the phrase '{c}' asks for the list {c}"),
    (RULE + "[gaps]\nlongest = 900", "[gaps]: longest is 900"),
    (RULE + "[gap]", "unknown key 'gap'. Did you mean 'gaps'"),
    (RULE + '[words]\nc = ["{c}"]', "[words] c: the phrase '{c}' asks for the list {c}, which is inside itself"),
    (RULE + "[words]\nc = 3", "[words]: lists.c must be"), (RULE + "[names]\nnot = []", "[names]: unknown key 'not'"),
])  # fmt: skip
def test_faults_of_a_rule_file_name_the_rule_and_the_field(rules, text, said):
    path = rules(text)
    with pytest.raises(UserError) as error:
        load_policy(path)
    assert str(error.value).startswith(str(path)) and said in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_policy(tmp_path / "rules.toml")


def test_without_spacy_names_are_told_by_their_capitals_and_the_policy_says_so(monkeypatch, policy):
    swap, add = "replace his face with Barack Obama", "add Donald Trump next to him"
    assert policy.refuses(swap) and policy.refuses(add) and "spaCy" not in policy.describe()
    people.find_people.cache_clear()
    monkeypatch.setattr(people, "MODELS", ("en_no_such_model",))
    without = load_policy()
    people.find_people.cache_clear()
    assert without.people is None and without.refuses(swap) and not without.refuses(add)
    assert "phrases with <PERSON> find nothing" in without.describe() and "python -m spacy" in without.describe()
