"""Whom a benchmark can measure: anything that edits pictures, behind one small protocol.

    [NAME=]SPEC          what it is
    mini                 an editor of this project: a shipped name, a folder, a hub id or a single .safetensors file,
                         sampled by this project's own code
    diffusers:ID         any diffusers pipeline that edits by instruction, a folder or a hub id, run by diffusers itself
    endpoint:URL#MODEL   POST URL/images/edits, as the OpenAI API has it
    folder:DIR           outputs made elsewhere: DIR/<key>.png, as the suite names them
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling

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
    """An editor under test. name: what its row is called."""

    name: str

    def describe(self) -> dict[str, Any]:
        """All that an output depends on beside the question, ready for JSON: kind of adapter, the model's identity
        (`rows.identity`), sampling with every default filled in. Equal descriptions mean equal outputs."""
        ...

    def edit(self, asks: Sequence[Ask]) -> Pictures:
        """One RGB picture for each question, in order, of any size. An output depends on its own question only, never
        on its neighbours. UserError: the question cannot be answered, naming its key."""
        ...

    def sampled(self, sampling: Sampling) -> Editor:
        """The same weights, not loaded again, sampled in another way; what is None stays. UserError: it has no such
        setting (outputs made elsewhere have none at all)."""
        ...

    def round_trip(self) -> RoundTrip | None:
        """Its autoencoder alone: encoded to the mode and decoded, at the size that `edit` works in; None: it has none
        that we can reach."""
        ...


def parse_spec(spec: str) -> tuple[str, str, str]:
    """"[NAME=]SPEC" → (name, scheme, reference). UserError: an unknown scheme, or nothing after it."""
    name, sign, rest = spec.partition("=")
    if not sign or any(mark in name for mark in ":/"):
        name, rest = "", spec
    scheme, colon, reference = rest.partition(":")
    if not colon or scheme not in ADAPTERS:
        if colon and not rest[1:].startswith((":\\", ":/")) and "/" not in scheme and "." not in scheme:
            raise UserError(f"{spec}: there is no editor of kind {scheme!r}: choose {', '.join(ADAPTERS)}.")
        scheme, reference = "uip2p", rest
    if not reference:
        raise UserError(f"{spec}: names no model after {scheme!r}.")
    return name or reference.rstrip("/").rpartition("/")[2], scheme, reference


def open_editor(spec: str, device: str | None = None, dtype: str = "fp32", batch_size: int = 8) -> Editor:
    """The editor of a spec, see above. UserError: no such kind, or what it names cannot be loaded."""
    name, scheme, reference = parse_spec(spec)
    module = importlib.import_module(ADAPTERS[scheme])
    found: Editor = module.open_editor(reference, name, device, dtype, batch_size)
    return found
