"""The options of provenance, the same for every verb that writes edited pictures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from uip2p.errors import UserError

if TYPE_CHECKING:
    from uip2p.provenance.signer import Signer
    from uip2p.provenance.writer import Writer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("provenance", "every edited file says that it was edited; see docs/provenance.md")
    group.add_argument("--certificate", metavar="CHAIN.pem", help="sign as yourself: your certificate, and those that "
                       "vouch for it (default: a local test certificate, which proves nothing about who)")  # fmt: skip
    group.add_argument("--key", metavar="KEY.pem", help="the private key of --certificate")
    group.add_argument("--timestamp-url", metavar="URL", help="have signatures dated by this authority (RFC 3161): "
                       "asks the network at each (default: no)")  # fmt: skip
    group.add_argument("--record-instruction", action="store_true", help="tell the instruction in the file, too")
    group.add_argument("--no-watermark", action="store_true", help="leave the pixels as the model made them")
    group.add_argument("--no-provenance", action="store_true", help="plain files that say nothing, for measurements")


def from_args(args: argparse.Namespace) -> Writer:
    """UserError: options that do not go together; a certificate or key that cannot sign, found by signing with it."""
    from uip2p.provenance.signer import Signer
    from uip2p.provenance.writer import Writer

    given = {"--certificate": args.certificate, "--key": args.key, "--timestamp-url": args.timestamp_url}
    if args.no_provenance:
        given |= {"--record-instruction": args.record_instruction or None, "--no-watermark": args.no_watermark or None}
        if named := [name for name, value in given.items() if value is not None]:
            raise UserError(f"--no-provenance writes plain files: leave out {' and '.join(named)}.")
        return Writer(enabled=False)
    if (args.certificate is None) != (args.key is None):
        there, absent = ("--certificate", "--key") if args.key is None else ("--key", "--certificate")
        raise UserError(f"{there} is given without {absent}: signing needs both.")
    signer = None
    if args.certificate is not None:
        signer = Signer.from_files(args.certificate, args.key, args.timestamp_url)
    elif args.timestamp_url is not None:
        signer = Signer.default(args.timestamp_url)
    if signer is not None:
        try_out(signer)
    return Writer(signer=signer, watermark=not args.no_watermark, record_instruction=args.record_instruction)


def try_out(signer: Signer) -> None:
    """Signs a picture of one colour, so that what is wrong is known before the work."""
    from PIL import Image

    from uip2p.provenance.encoding import encode
    from uip2p.provenance.made import Made

    encode(Image.new("RGB", (8, 8)), "PNG", Made("none", 0, 1, 1.0, 1.0, "none"), signer)
