"""UIP2P: image editing by instruction, learned without a single edited image.

    from uip2p import Editor
    edited = Editor.from_pretrained("mini")("picture.png", "make the car blue")

The public names are `Editor`, `EditRecord`, `UserError`, `train` and `losses`; each is imported when first asked for,
as torch takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["EditRecord", "Editor", "UserError", "losses", "train"]

_HOMES = {
    "Editor": "uip2p.editing.editor",
    "EditRecord": "uip2p.records",
    "UserError": "uip2p.errors",
    "train": "uip2p.learning.trainer",
}


def __getattr__(name: str) -> Any:
    if name == "losses":
        return import_module("uip2p.learning.losses")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'uip2p' has no attribute {name!r}")
