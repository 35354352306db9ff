"""`uip2p ui`: edit pictures in a browser."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from uip2p.errors import UserError
from uip2p.provenance import options as provenance
from uip2p.provenance.made import public_name
from uip2p.serving.options import add_service, check, is_shipped, load_service

if TYPE_CHECKING:
    from uip2p.serving.ui.doors import Auth

EXAMPLES = """
examples:
  uip2p ui                                                     the shipped model, on http://127.0.0.1:7860
  uip2p ui --model instruct-pix2pix --dtype fp16 --offload model
  uip2p ui --runs runs                                         and a second tab that looks at your training runs
  uip2p ui --host 0.0.0.0 --password people.txt                for others too: lines NAME:PASSWORD
"""
DEADLINE = 1800.0  # seconds: a person sees how far an edit is, and can cancel it
USUAL_RUNS = Path("runs")  # where `uip2p train` writes to, unless told otherwise
GRACE = 2.0  # seconds for an edit that is in work when the page is told to stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_service(parser, 7860, DEADLINE)
    provenance.add_arguments(parser)
    page = parser.add_argument_group("the page")
    page.add_argument("--password", type=Path, metavar="FILE", help="let in only who is in FILE: lines NAME:PASSWORD")
    page.add_argument("--no-password", action="store_true", help="let in everybody who can reach --host")
    page.add_argument("--open", action="store_true", help="open the page in a browser")
    page.add_argument(
        "--runs", type=Path, metavar="DIR",
        help="look at the training runs of this folder, too (default: runs, where there is one)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    from uip2p.serving.ports import leave, listen
    from uip2p.serving.ui.doors import find_auth

    check(args)
    if args.runs is not None and not args.runs.is_dir():
        raise UserError(f"--runs {args.runs}: there is no such folder. Give one that `uip2p train` wrote to.")
    auth = find_auth(args.host, args.password, args.no_password)
    with listen(args.host, args.port) as listening:
        uploads = Path(tempfile.mkdtemp(prefix="uip2p-ui-"))
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # before Gradio is imported; uploads go through it
        try:
            serve(args, listening, auth)
        finally:
            shutil.rmtree(uploads, ignore_errors=True)
    print("Stopped.")
    leave()


def runs_folder(given: Path | None) -> Path | None:
    """Whose trainings the second tab shows: the folder that was given, else the usual one, where it is there."""
    return given or (USUAL_RUNS if USUAL_RUNS.is_dir() else None)


def serve(args: argparse.Namespace, listening: socket.socket, auth: Auth | None) -> None:
    """Until SIGTERM or Ctrl-C."""
    from uip2p.serving.ports import address, run
    from uip2p.serving.ui.desk import Desk
    from uip2p.serving.ui.examples import examples
    from uip2p.serving.ui.page import application
    from uip2p.serving.ui.session import Sessions

    logging.basicConfig(format="%(message)s")
    logging.getLogger("uip2p").setLevel(logging.INFO)  # what is declined, and what is not looked at
    print(f"Loading {public_name(args.model)} …", file=sys.stderr, flush=True)
    service, url = load_service(args), address(args.host, listening)
    try:
        found = examples(service.parts)
        desk = Desk(service, Sessions(), found, shipped=is_shipped(args), max_pixels=args.max_pixels)
        app = application(desk, auth, runs_folder(args.runs))
        print(f"{url} edits pictures with {service.model}. Ctrl-C stops.", flush=True)
        if args.open:
            import webbrowser

            threading.Timer(0.5, webbrowser.open, [url]).start()
        run(app, listening)
    finally:
        service.drain(GRACE)
