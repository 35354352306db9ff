"""`uip2p inspect`: what pictures claim of how they were made."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from uip2p.errors import UserError

ABOUT = """
A claim is not a proof, and a picture that claims nothing may be anything. Nothing is asked of the network.
  uip2p inspect edited.png            in sentences
  uip2p inspect --json pictures/      a JSON object a line, for every picture in the folder
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    parser.add_argument("files", nargs="+", metavar="FILE", help="PNG, JPEG, WebP, GIF, BMP or TIFF; a folder for all "
                        "in it")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a JSON object a line, one for each file")


def run(args: argparse.Namespace) -> None:
    """UserError: a file that is missing or no picture; the others are told first."""
    from dataclasses import asdict

    from uip2p.provenance.inspection import inspect
    from uip2p.provenance.telling import sentences

    failed = []
    for index, path in enumerate(pictures(args.files)):
        try:
            claims = inspect(path)
        except UserError as error:
            failed.append(str(error))
            print(f"uip2p inspect: {error}", file=sys.stderr)
            continue
        if args.json:
            print(json.dumps(asdict(claims) | {"claims_nothing": claims.empty}, ensure_ascii=False), flush=True)
        else:
            print("\n" * (index > 0) + "\n  ".join(sentences(claims)), flush=True)
    if failed:
        raise UserError(f"{len(failed)} of the files could not be inspected (above).")


def pictures(names: list[str]) -> list[Path]:
    """The files, and of a folder those in it that end like pictures. UserError: a folder without any."""
    from uip2p.images import WRITERS

    found: list[Path] = []
    for path in map(Path, names):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in {*WRITERS, ".gif"} and each.is_file())
        if not inside:
            raise UserError(f"{path}: there is no picture in this folder.")
        found += inside
    return found
