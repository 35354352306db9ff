"""The language of rule files."""

from __future__ import annotations

import pytest

from uip2p.safety.phrases import Grammar, parse
from uip2p.safety.reading import clean, readings

GRAMMAR = Grammar(
    lists={"who": ["her", "the? man", "{pet}"], "pet": ["dog", "guinea pig"]},
    longest=2, not_over=["make"], not_names=["christmas"],
)  # fmt: skip


def found(phrase: str, text: str, people=None) -> bool:
    parsed = parse(phrase, GRAMMAR)
    return any(parsed.found(reading) for reading in readings(clean(text), people))


@pytest.mark.parametrize(("phrase", "yes", "no"), [
    ("kill her", ["kill her", "KILL HER!", "please kill her now"], ["kill", "her kill", "kill the her"]),
    ("kill|stab {who}", ["kill her", "stab the man", "stab man", "kill guinea pigs", "kill dogs"], ["kill the dog"]),
    ("take .. off", ["take off", "take it off", "take it all off"],
     ["take all of it off", "take. It is off", "take it and make off"]),
    ("undress*", ["undressing", "undress"], ["dress", "undres"]),
    ("big? cat", ["cat", "a big cat"], ["big dog"]),
    ("<0-17> year|yr old", ["a 7-year-old", "12 yr old", "0 years old"], ["18 year old", "seven year old", "7.5 old"]),
    ("like <Name>", ["look like Anna", "like Anna Maria Smith now"], ["like anna", "like a king", "like Christmas"]),
])  # fmt: skip
def test_phrases(phrase, yes, no):
    assert [text for text in yes if not found(phrase, text)] == []
    assert [text for text in no if found(phrase, text)] == []


def test_a_person_is_who_a_model_takes_for_one():
    def anna(text):
        return [(text.index("Anna"), text.index("Anna") + 10)] if "Anna Smith" in text else []

    assert found("add <PERSON> here", "add Anna Smith here", anna)
    assert not found("add <PERSON> here", "add Anna Jones here", anna)
    assert not found("add <PERSON> here", "add Anna Smith here")
    assert parse("add <PERSON>", GRAMMAR).entities and not parse("add her", GRAMMAR).entities


def test_what_a_phrase_covers():
    (reading,) = readings("kill the man and kill her dog")
    assert parse("kill {who}", GRAMMAR).covers(reading) == 0b0110111
    assert not parse("kill {who}", GRAMMAR).found(reading.without(0b0110111))
    assert parse("and", GRAMMAR).found(reading.without(0b0110111))


@pytest.mark.parametrize(("phrase", "said"), [
    ("", "is empty"), (".. her", "begin and end"), ("her ..", "begin and end"), ("big? cat?", "begin and end"),
    ("see-through", "a sign parts words"), ("Kill", "lower-case"), ("(a+)+$", "lower-case"), ("a||b", "lower-case"),
    ("{whom}", "has who, pet"), ("{loop}", "inside itself"), ("<Foo>", "<PERSON>"), ("{in}", "not in lists"),
    ("a*", "ab*"),
])  # fmt: skip
def test_what_cannot_be_read(phrase, said):
    lists = {**GRAMMAR.lists, "loop": ["a {loop}"], "in": ["<PERSON>"]}
    with pytest.raises(ValueError) as error:
        parse(phrase, Grammar(GRAMMAR.lists if phrase == "{whom}" else lists))
    assert said in str(error.value)
