"""What a judge answers, and how its scores are read out of it. What does not hold is an error, never a score of 0."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from uip2p.instructions.answers import InvalidAnswer, clean, closed, json_objects

LONGEST = 500  # characters of a judge's reasoning that are kept
NUMBER = r"(-?\d++(?:\.\d++)?)(?:\s*/\s*(\d++))?"


def schema(aspects: Sequence[str]) -> dict[str, Any]:
    """JSON schema of an answer: the reasoning first, so that the numbers follow from it."""
    return closed({"reasoning": {"type": "string"}, **{aspect: {"type": "integer"} for aspect in aspects}})


def read(text: str, aspects: Sequence[str], scale: tuple[int, int]) -> tuple[dict[str, float], str]:
    """An answer → the aspects' numbers as they stand, within scale (lowest, highest), and the reasoning.

    The first JSON object that has all of them; prose, a code fence or a <think> part around it is passed over. Where
    there is none: lines such as "execution: 7", the last of each aspect. A number may be written 7, 7.0, "7" or "7/10".
    InvalidAnswer: an aspect is missing, is no number, or leaves the scale."""
    answer = text.rpartition("</think>")[2]
    reason = "it holds neither a JSON object nor a line of each of " + ", ".join(aspects)
    found = [item for item in json_objects(answer) if any(aspect in item for aspect in aspects)]
    for item in found or ([_lines(answer, aspects)] if _lines(answer, aspects) else []):
        try:
            scores = {aspect: _number(item, aspect, scale) for aspect in aspects}
        except InvalidAnswer as error:
            reason = str(error)
            continue
        return scores, clean(str(item.get("reasoning", "")))[:LONGEST]
    raise InvalidAnswer(reason)


def _lines(text: str, aspects: Sequence[str]) -> dict[str, str]:
    """Aspect → what follows its name and a colon or an equals sign. "execution: 0-10" is a scale, and no score."""
    found = {}
    for aspect in aspects:
        pattern = rf"\b{aspect}\b[\"'*`_\s]*[:=][\"'*`_\s]*{NUMBER}(?!\s*(?:[-–]|to\b)\s*\d)"
        for match in re.finditer(pattern, text, re.IGNORECASE):
            found[aspect] = match[0][match.start(1) - match.start() :]
    return found


def _number(item: Mapping[str, Any], aspect: str, scale: tuple[int, int]) -> float:
    value = item.get(aspect)
    if isinstance(value, str) and (match := re.fullmatch(NUMBER, value.strip())):
        if match[2] is not None and int(match[2]) != scale[1]:
            raise InvalidAnswer(f"{aspect}: {value} is of another scale than {scale[0]} to {scale[1]}")
        value = float(match[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidAnswer(f"{aspect}: expected a number, got {value!r:.60}")
    if not scale[0] <= value <= scale[1]:
        raise InvalidAnswer(f"{aspect}: {value:g} leaves the scale of {scale[0]} to {scale[1]}")
    return float(value)
