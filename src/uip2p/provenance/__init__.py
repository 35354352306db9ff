"""What an edited file says of itself, and what any file claims: metadata, a watermark, a signed C2PA manifest."""

from uip2p.provenance.encoding import encode, save
from uip2p.provenance.made import Made
from uip2p.provenance.signer import Signer

__all__ = ["Made", "Signer", "encode", "save"]
