"""Whom a benchmark can measure: anything that edits pictures, behind one small protocol.

    [NAME=]SPEC[?OPTIONS]   what it is
    mini                    an editor of this project: a shipped name, a folder, a hub id or a single .safetensors file,
                            sampled by this project's own code
    diffusers:ID            any diffusers pipeline that edits by instruction, a folder or a hub id, run by diffusers
    endpoint:URL#MODEL      POST URL/images/edits, as the OpenAI API has it
    folder:DIR              outputs made elsewhere: DIR/<key>.png, as the suite names them

OPTIONS are the adapter's own, `name=value` joined by `&`: "diffusers:black-forest-labs/FLUX.1-Kontext-dev?dtype=bf16".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl

from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Refused, Sampling

Pictures = list[Image.Image]
RoundTrip = Callable[[Sequence[Image.Image]], Pictures]

# scheme → module with `open_editor(reference, name, device, dtype, batch_size) -> Editor`
ADAPTERS = {
    "uip2p": "uip2p.evaluate.editors.ours",
    "diffusers": "uip2p.evaluate.editors.pipelines",
    "endpoint": "uip2p.evaluate.editors.endpoint",
    "folder": "uip2p.evaluate.editors.folder",
}


@runtime_checkable
class Editor(Protocol):
    """An editor under test."""

    @property
    def name(self) -> str:
        """What its row is called."""
        ...

    @property
    def tunable(self) -> frozenset[str]:
        """The fields of `Sampling` that it can be told. Outputs made elsewhere: none at all."""
        ...

    def describe(self) -> dict[str, Any]:
        """All that an output depends on beside the question, ready for JSON: kind of adapter, the model's identity
        (`rows.identity`), and under "sampling" every field of `Sampling` as it is used, defaults filled in, null for
        what is not `tunable`. Equal descriptions mean equal outputs."""
        ...

    def edit(self, asks: Sequence[Ask]) -> Sequence[Image.Image | Refused]:
        """One RGB picture for each question, in order, of any size; or Refused. An output depends on its own question
        only, never on its neighbours. UserError: nobody is answered; it names the key where one question is at fault.
        """
        ...

    def sampled(self, sampling: Sampling) -> Editor:
        """The same weights, not loaded again, sampled in another way; what is None stays, and what is not `tunable` is
        left alone, so that a protocol's sampling can be told to everybody (`describe` says what was used). Where a
        result would mean nothing without a setting, a suite asks for it first: `require`. UserError: a bad value."""
        ...

    def round_trip(self) -> RoundTrip | None:
        """Its autoencoder alone: encoded to the mode and decoded, at the size that `edit` works in; None: it has none
        that we can reach."""
        ...


@runtime_checkable
class Finite(Protocol):
    """An editor that has its answers already, and so can say before a run begins which it lacks."""

    def check(self, wanted: Iterable[tuple[str, int]]) -> None:
        """wanted: (key of a turn, seed of the run). UserError: answers that are not there, all of them counted."""
        ...


def require(editor: Editor, *names: str) -> None:
    """UserError: the editor cannot be told one of these fields of `Sampling`, and what is asked for needs it."""
    lacking = [name for name in names if name not in editor.tunable]
    if lacking:
        can = ", ".join(sorted(editor.tunable)) or "nothing: its outputs are as they are"
        raise UserError(
            f"{editor.name}: its {' and '.join(lacking)} cannot be set, and this needs it (it can be told {can}). "
            "Leave out this editor, or the option that says so, or take another suite."
        )


def told(sampling: Sampling, editor: Editor) -> Sampling:
    """The part of it that the editor can be told, checked. UserError: a value out of its range."""
    some = Sampling(**{name: value for name, value in asdict(sampling).items() if name in editor.tunable})
    for name, least in (("steps", 1), ("size", 8)):
        value = getattr(some, name)
        if value is not None and (type(value) is not int or value < least):
            raise UserError(f"{editor.name}: {name} is {value!r}: give a whole number from {least} up.")
    for name in ("guidance_scale", "image_guidance_scale"):
        value = getattr(some, name)
        if value is not None and not (type(value) in (int, float) and 0 <= value <= 100):
            raise UserError(f"{editor.name}: {name} is {value!r}: give a number from 0 to 100.")
    return some


def parse_spec(spec: str) -> tuple[str, str, str]:
    """"[NAME=]SPEC" → (name, scheme, reference with its options). UserError: an unknown scheme, or nothing after it."""
    name, sign, rest = spec.partition("=")
    if not sign or any(mark in name for mark in ":/?"):
        name, rest = "", spec
    scheme, colon, reference = rest.partition(":")
    if not colon or scheme not in ADAPTERS:
        if colon and not rest[1:].startswith((":\\", ":/")) and "/" not in scheme and "." not in scheme:
            raise UserError(f"{spec}: there is no editor of kind {scheme!r}: choose {', '.join(ADAPTERS)}.")
        scheme, reference = "uip2p", rest
    place = split_options(reference)[0]
    if not place:
        raise UserError(f"{spec}: names no model after {scheme!r}.")
    return name or (place.rpartition("#")[2] or place).rstrip("/").rpartition("/")[2], scheme, reference


def split_options(reference: str) -> tuple[str, dict[str, str]]:
    """"PLACE?name=value&name=value" → (PLACE, options). An address keeps a query that stands before its "#"."""
    place, mark, query = reference.rpartition("?")
    if not mark or "#" in query or "=" not in query:
        return reference, {}
    return place, dict(parse_qsl(query, keep_blank_values=True))


def check_options(reference: str, options: Mapping[str, str], known: Sequence[str]) -> None:
    """UserError: an option that this kind of editor does not have."""
    for name in options:
        if name not in known:
            raise UserError(f"{reference}: there is no option {name!r}: choose {', '.join(known)}.")


def open_editor(spec: str, device: str | None = None, dtype: str = "fp32", batch_size: int = 8) -> Editor:
    """The editor of a spec, see above. UserError: no such kind, or what it names cannot be loaded."""
    name, scheme, reference = parse_spec(spec)
    module = importlib.import_module(ADAPTERS[scheme])
    found: Editor = module.open_editor(reference, name, device, dtype, batch_size)
    return found
