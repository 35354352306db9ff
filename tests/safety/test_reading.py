"""What a text is taken for before phrases are looked for in it."""

from __future__ import annotations

import pytest

from uip2p.safety.reading import clean, forms, readings


def words(text: str) -> set[str]:
    return {form for reading in readings(clean(text)) for form in reading.forms}


@pytest.mark.parametrize("text", [
    "nude", "NUDE", "nud3", "nudé", "ｎｕｄｅ", "𝐧𝐮𝐝𝐞", "nu\u200bde", "nu\u00adde", "n u d e", "n.u.d.e", "n-u-d-e",
    "nu-de", "nuuude", "nude!", "(nude)", "nudes", "nude's", "nudе", "a n u d e", "N U D 3", "n_u_d_e", "“nude”",
])  # fmt: skip
def test_evasions_are_the_word(text):
    assert "nude" in words(f"make her {text} please") and "nude" in words(text)


@pytest.mark.parametrize("text", ["denude it", "nudge", "in due time", "a nu metal band", "Essex", "naked-eye", "1990"])
def test_other_words_are_not(text):
    assert not {"nude", "sex"} & words(text)


def test_forms():
    assert {"breasts", "breast"} <= forms("Breasts") and "breasts" not in forms("breast")
    assert "babies" in forms("babies") and "baby" in forms("babies") and "dress" in forms("dresses")
    assert forms("12") == {"12"} and "dres" not in forms("dress")
    assert {"kill", "sex", "ass"} <= forms("k1ll") | forms("s3x") | forms("a$$")


def test_clean_is_one_line_of_plain_letters():
    assert clean("  Ärger\t\tmit   \u202eＡＢＣ\u2028x \n\n y ") == "Arger mit ABC x\ny"


def test_capitals_count_where_a_sentence_does_not_ask_for_them():
    (reading,) = readings("Make her Anna. Then stop. Call I")
    assert [reading.words[i].text for i in range(len(reading.words)) if reading.capitals >> i & 1] == ["Anna"]


def test_people_are_looked_for_where_there_is_a_capital_letter_and_as_far_as_an_encoder_reads():
    asked = []

    def people(text):
        asked.append(text)
        return [(start, start + 4) for start in [text.find("Anna")] if start >= 0]

    assert [r.people for r in readings("make the car red", people)] == [[]] and not asked
    (reading,) = readings("put, well, Anna there", people)
    assert reading.people == [(2, 3)] and reading.people and len(asked) == 1
    (late,) = readings("word " * 80 + "Anna", people)
    assert late.people == []
    assert reading.without(1 << 2).people == []
