"""What an edited file says of itself, and what any file claims: metadata, a watermark, a signed C2PA manifest.

    from uip2p.provenance import Made, encode
    content = encode(edited.image, "PNG", Made.of(edited, "mini"), source=Path("photo.jpg"))

The public names are imported when first asked for, as torch takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uip2p.provenance.encoding import encode, save
    from uip2p.provenance.inspection import inspect
    from uip2p.provenance.made import Made
    from uip2p.provenance.signer import Signer
    from uip2p.provenance.writer import Writer

__all__ = ["Made", "Signer", "Writer", "encode", "inspect", "save"]

_HOMES = {
    "Made": "made", "Signer": "signer", "Writer": "writer", "encode": "encoding", "inspect": "inspection",
    "save": "encoding",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"uip2p.provenance.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'uip2p.provenance' has no attribute {name!r}")
