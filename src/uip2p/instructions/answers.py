"""What an LLM answers, and how edits are read out of it. An answer is data from outside: nothing of it is believed
before pydantic has seen it, and what does not hold is dropped edit by edit.

A caption may hold an instruction for the LLM, and the LLM may obey it. What it answers then is either no edit at all,
or an edit whose texts are plain lines without markup, addresses and control characters, as every other's: it meets
the same acceptance, and stays text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints, ValidationError

from uip2p.instructions.writer import KINDS, Edit, Mode
from uip2p.records import Caption

Kind = Literal["color", "add", "remove", "move", "replace", "place", "weather", "time", "style", "other"]
assert get_args(Kind) == (*KINDS, "other")

MARKUP = re.compile(r"[<>{}\[\]`\\|]|://|\bwww\.")


def _plain(text: str) -> str:
    """The text itself. ValueError: control or direction marks, or no letter at all."""
    if clean(text) != text:
        raise ValueError("control characters, line ends or direction marks")
    if not re.search(r"[^\W\d_]", text):
        raise ValueError("no words")
    return text


def _without_markup(text: str) -> str:
    if MARKUP.search(text):
        raise ValueError("markup or an address")
    return text


def _known(kind: Any) -> Any:
    """What an LLM calls a kind → one of ours; the name of a kind is no reason to throw an edit away."""
    if not isinstance(kind, str):
        return kind
    name = kind.strip().lower().replace("colour", "color")
    return name if name in KINDS else "other"


Command = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=2, max_length=200),
    AfterValidator(_plain), AfterValidator(_without_markup),
]  # fmt: skip
Description = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=2, max_length=1000), AfterValidator(_plain)
]


class FullEdit(BaseModel):
    kind: Annotated[Kind, BeforeValidator(_known)]
    instruction: Command
    edited_caption: Description
    reverse_instruction: Command


class ReverseAnswer(BaseModel):
    reverse_instruction: Command


class InvalidAnswer(ValueError):
    """No edit can be read out of an answer; the message says why. Asking again may help."""


def schema(mode: Mode) -> dict[str, Any]:
    """JSON schema of an answer, as servers take it for structured output: closed objects, nothing optional, no `$ref`,
    and none of the keywords (lengths, titles) that some of them refuse. Lengths are checked here in any case."""
    text = {"type": "string"}
    if mode == "reverse":
        return closed({"reverse_instruction": text})
    kind = {"type": "string", "enum": list(get_args(Kind))}
    edit = {"kind": kind, **dict.fromkeys(("instruction", "edited_caption", "reverse_instruction"), text)}
    return closed({"edits": {"type": "array", "items": closed(edit)}})


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with these properties, all of them and no others."""
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def parse(answer: str, mode: Mode, caption: Caption, most: int) -> tuple[Edit, ...]:
    """The valid edits of an answer, `most` at the most, each once, in their order.

    Prose, a code fence or a <think> part around the JSON is passed over, and of an answer that was cut off in the
    middle the edits that are whole are kept. InvalidAnswer: there is none.
    """
    found: list[Edit] = []
    seen: set[tuple[str, str]] = set()
    reason = "it holds no JSON object"
    for item in _objects(answer.rpartition("</think>")[2], mode):
        try:
            edit = _edit(item, mode, caption)
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(str(part) for part in first['loc']) or 'an edit'}: {first['msg']}"
            continue
        except ValueError as error:
            reason = str(error)
            continue
        same = (edit.instruction.casefold(), edit.edited_caption.casefold())
        if same not in seen:
            seen.add(same)
            found.append(edit)
    if not found:
        raise InvalidAnswer(reason)
    return tuple(found[:most])


def _edit(item: dict[str, Any], mode: Mode, caption: Caption) -> Edit:
    if mode == "reverse":
        reverse = ReverseAnswer.model_validate(item).reverse_instruction
        return Edit("other", caption.instruction, caption.edited_caption, reverse)
    edit = FullEdit.model_validate(item)
    words = caption.caption.split()  # of which some may be markup: CC12M writes <PERSON> for every name
    if any(MARKUP.search(word) and word not in words for word in edit.edited_caption.split()):
        raise ValueError("edited_caption: markup or an address that the caption does not have")
    return Edit(edit.kind, edit.instruction, edit.edited_caption, edit.reverse_instruction)


def _objects(text: str, mode: Mode) -> Iterator[dict[str, Any]]:
    """The JSON objects of an answer that may be edits: the members of "edits" or of a bare list, or one alone."""
    for item in json_objects(text):
        edits = item.get("edits") if mode == "full" else None
        yield from (edit for edit in edits if isinstance(edit, dict)) if isinstance(edits, list) else (item,)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text, whatever stands around them. An opening brace that opens nothing whole (the outer
    one, where an answer was cut off) is stepped over."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            item, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            yield item
        at = text.find("{", end)


def write(edits: tuple[Edit, ...] | list[Edit], mode: Mode) -> str:
    """The answer that `parse` reads these edits out of: what an LLM is taught to give."""
    if mode == "reverse":
        return json.dumps({"reverse_instruction": edits[0].reverse_instruction}, ensure_ascii=False)
    names = ("kind", "instruction", "edited_caption", "reverse_instruction")
    rows = [{name: getattr(edit, name) for name in names} for edit in edits]
    return json.dumps({"edits": rows}, ensure_ascii=False)


def clean(text: str) -> str:
    """On one line, without control characters and without marks that turn the reading direction or are not seen.

    Zero-width joiners go too: what they join is still read without them.
    """
    spaced = "".join(" " if character.isspace() else character for character in text)
    seen = "".join(character for character in spaced if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co"))
    return " ".join(seen.split())
