"""What is read out of a judge's answer, and what is not."""

import pytest

from uip2p.evaluate.judge.scores import LONGEST, read, schema
from uip2p.instructions.answers import InvalidAnswer

ASPECTS = ("execution", "consistency")


@pytest.mark.parametrize(
    "text",
    [
        '{"reasoning": "r", "execution": 7, "consistency": 9}',
        '```json\n{"reasoning": "r", "execution": 7, "consistency": 9}\n```',
        'Here it is: {"execution": "7", "consistency": 9.0, "reasoning": "r"} I hope it helps.',
        '<think>perhaps {"execution": 1, "consistency": 1}</think>{"execution": "7/10", "consistency": "9 / 10"}',
        '{"type": "object", "properties": {}} {"execution": 7, "consistency": 9}',
        "**Execution:** 7/10\n**Consistency**: 9\nThe car is red.",
        "On a scale of execution: 0-10 I give\n- execution: 7\n- consistency = 9",
        '{"reasoning": "cut off", "execution": 7, "consistency": 9',
    ],
)
def test_scores_are_found(text):
    assert read(text, ASPECTS, (0, 10))[0] == {"execution": 7.0, "consistency": 9.0}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I cannot judge this picture.", "neither"),
        ("", "neither"),
        ('{"execution": 7}', "consistency: expected a number, got None"),
        ('{"execution": 11, "consistency": 9}', "execution: 11 leaves the scale of 0 to 10"),
        ('{"execution": -1, "consistency": 9}', "leaves the scale"),
        ('{"execution": NaN, "consistency": 9}', "expected a number"),
        ('{"execution": Infinity, "consistency": 9}', "expected a number"),
        ('{"execution": true, "consistency": 9}', "expected a number, got True"),
        ('{"execution": "4/5", "consistency": 9}', "another scale"),
        ('{"execution": "high", "consistency": 9}', "got 'high'"),
        ('{"execution": [7], "consistency": 9}', "expected a number"),
        ("execution: 7", "consistency: expected a number"),
        ("execution: 0-10, consistency: 0 to 10", "neither"),
        ('<think>{"execution": 7, "consistency": 9}</think> I will not say.', "neither"),
        ('{"a":' * 2000, "neither"),
    ],
)
def test_what_does_not_hold_is_an_error(text, why):
    with pytest.raises(InvalidAnswer, match=why):
        read(text, ASPECTS, (0, 10))


def test_the_scale_is_the_questions():
    assert read('{"execution": 5, "consistency": "1/5"}', ASPECTS, (1, 5))[0] == {"execution": 5, "consistency": 1}
    with pytest.raises(InvalidAnswer, match="0 leaves the scale of 1 to 5"):
        read('{"execution": 0, "consistency": 1}', ASPECTS, (1, 5))


def test_reasoning_is_one_plain_line():
    text = '{"reasoning": "' + "a\\n\\u202eb " * 300 + '", "execution": 1, "consistency": 1}'
    reasoning = read(text, ASPECTS, (0, 10))[1]
    assert reasoning.startswith("a b a b") and len(reasoning) == LONGEST


def test_the_schema_is_closed():
    found = schema(ASPECTS)
    assert list(found["properties"]) == ["reasoning", *ASPECTS] == found["required"]
    assert found["additionalProperties"] is False
