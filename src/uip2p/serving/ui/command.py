"""`uip2p ui`: edit pictures in a browser."""

from __future__ import annotations

import argparse
import hmac
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from uip2p.editing.options import add_model, add_place, load
from uip2p.errors import UserError

EXAMPLES = """
examples:
  uip2p ui                                                     the shipped model, on http://127.0.0.1:7860
  uip2p ui --model instruct-pix2pix --dtype fp16 --offload model
  uip2p ui --host 0.0.0.0 --password people.txt                for others too; NAME:PASSWORD, one a line
"""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_model(parser)
    add_place(parser)
    parser.add_argument("--clip", help="the encoder of checks: a CLIPModel folder or hub id (default: the shipped "
                        "one, for a shipped model)")  # fmt: skip
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="who can reach it (default: 127.0.0.1, this machine only)")
    where.add_argument("--port", type=int, default=7860, help="0 is any free one (default: 7860)")
    where.add_argument("--password", type=Path, metavar="FILE", help="let in only who is in FILE: NAME:PASSWORD lines")
    where.add_argument("--no-password", action="store_true", help="let in everybody who can reach --host")
    where.add_argument("--open", action="store_true", help="open the page in a browser")


def run(args: argparse.Namespace) -> None:
    from uip2p.serving.ports import address, listen

    auth = check_doors(args.host, args.password, args.no_password)
    with listen(args.host, args.port) as listening:
        uploads = Path(tempfile.mkdtemp(prefix="uip2p-ui-"))
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # before Gradio is imported; uploads go through it
        try:
            serve(args, listening, address(args.host, listening), auth)
        finally:
            shutil.rmtree(uploads, ignore_errors=True)
    print("Stopped.", flush=True)


def serve(args: argparse.Namespace, listening: object, url: str, auth: Callable[[str, str], bool] | None) -> None:
    """Until SIGTERM or Ctrl-C."""
    from uip2p.models.folder import SHIPPED
    from uip2p.serving.listening import run
    from uip2p.serving.service import Service
    from uip2p.serving.ui.desk import Desk
    from uip2p.serving.ui.examples import examples
    from uip2p.serving.ui.page import application
    from uip2p.serving.ui.session import Sessions

    editor = load(args)
    service = Service(editor, clip=args.clip)
    try:
        desk = Desk(service, Sessions(), examples(editor.parts), shipped=args.model in SHIPPED)
        app = application(desk, auth)
        print(f"{url} edits pictures with {args.model}. Ctrl-C stops.", flush=True)
        if args.open:
            import webbrowser

            threading.Timer(0.5, webbrowser.open, [url]).start()
        run(app, listening)
    finally:
        service.drain(2.0)


def check_doors(host: str, password: Path | None, no_password: bool) -> Callable[[str, str], bool] | None:
    """Who is let in, None for everybody. UserError: a page for others that has no password."""
    if password is not None:
        return checker(read_passwords(password))
    if host not in LOOPBACK and not no_password:
        raise UserError(
            f"--host {host}: others could reach the page. Give --password FILE, or --no-password if they may."
        )
    return None


def read_passwords(path: Path) -> dict[str, str]:
    """NAME:PASSWORD, one a line; # begins a remark. UserError: no such file, a line without a colon, none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"--password {path}: cannot be read ({reason}).") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, secret = line.strip().partition(":")
        if not (name and colon and secret):
            raise UserError(f"--password {path}: line {number} is not NAME:PASSWORD.")
        found[name] = secret
    if not found:
        raise UserError(f"--password {path}: there is nobody in it. Write NAME:PASSWORD, one a line.")
    return found


def checker(known: dict[str, str]) -> Callable[[str, str], bool]:
    """In the same time for every name and every password; who is wrong waits, as one who guesses is."""

    def right(name: str, password: str) -> bool:
        expected = known.get(name, "")
        same = hmac.compare_digest(expected.encode(), password.encode()) and name in known
        if not same:
            time.sleep(0.5)
        return same

    return right
