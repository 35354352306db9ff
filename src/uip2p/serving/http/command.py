"""`uip2p serve`: the HTTP API over one model."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from uip2p.errors import UserError
from uip2p.provenance import options as provenance
from uip2p.provenance.made import public_name
from uip2p.serving.options import add_service, check, load_service
from uip2p.serving.ports import address, is_loopback, leave, listen

if TYPE_CHECKING:
    from uip2p.serving.http.keys import Key
    from uip2p.serving.http.server import Settings
    from uip2p.serving.service import Service

EXAMPLES = """
examples:
  uip2p serve                                             the shipped model, for this machine alone
  uip2p serve --new-key alice                             prints a key, and the line that lets it in
  uip2p serve --host 0.0.0.0 --keys keys.txt --rate 60    for others
  curl -F image=@scene.png -F prompt="make the car blue" http://127.0.0.1:8000/v1/images/edits
"""
LOG = logging.getLogger("uip2p.serving")
BACKLOG = 2048  # connections that wait to be taken
GRACE = 8.0  # seconds for what is in work when the server is told to stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    door = add_api(parser)
    door.add_argument("--new-key", metavar="NAME", help="print a new key and its line, and end")


def add_api(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options of the API, which `recipes/serve_ray.py` has too. Returns the group of those on who may ask."""
    add_service(parser, 8000)
    provenance.add_arguments(parser)
    door = parser.add_argument_group("who may ask")
    door.add_argument("--keys", metavar="FILE", help="lines NAME:SHA256 of keys, as --new-key prints "
                      "them (default: those in the environment's UIP2P_API_KEYS)")
    door.add_argument("--no-keys", action="store_true", help="let everybody in, at any address")
    door.add_argument("--rate", type=float, default=0, metavar="N", help="requests a minute of each key, without keys "
                      "of all together (default: any number)")
    door.add_argument("--max-body", type=int, default=20_000_000, metavar="BYTES", help="of a request, at most "
                      "(default: 20 MB)")  # fmt: skip
    door.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="answer this host name; "
                      "localhost's are always right (default at a loopback address: only those)")  # fmt: skip
    door.add_argument("--cors", action="append", default=[], metavar="ORIGIN", help="let pages of this origin ask, "
                      "such as https://example.org (default: none)")  # fmt: skip
    door.add_argument("--name", help="what the API calls the model (default: as in --model, without folders)")
    parser.add_argument("--log-prompts", action="store_true", help="write prompts into the log")
    return door


def run(args: argparse.Namespace) -> None:
    from uip2p.serving.http.keys import new_key

    if args.new_key is not None:
        key, line = new_key(args.new_key)
        print(f"key, for {args.new_key} alone: {key}\nline, for --keys: {line}")
        return
    serve(args, read_settings(args))


def read_settings(args: argparse.Namespace) -> Settings:
    """UserError: an option out of its range, no key where there must be one, a package that is missing."""
    try:
        import python_multipart  # noqa: F401  (forms: starlette asks for it at the first request only)
        import uvicorn  # noqa: F401

        from uip2p.serving.http.server import Settings
    except ImportError as error:
        raise UserError(f"to serve, {error.name} is needed: pip install 'uip2p[serve]'.") from None
    local = is_loopback(args.host)
    if args.max_body < 1 or args.rate < 0:
        raise UserError("--max-body has to be above 0, and --rate 0 or more.")
    return Settings(
        model=args.name or public_name(args.model), keys=find_keys(args, local), rate=args.rate,
        max_pixels=args.max_pixels, max_body=args.max_body, hosts=hosts(args.allow_host, local),
        origins=tuple(args.cors), log_prompts=args.log_prompts, grace=GRACE,
    )  # fmt: skip


def find_keys(args: argparse.Namespace, local: bool) -> tuple[Key, ...]:
    """UserError: keys and --no-keys, or neither where others than this machine may ask."""
    from uip2p.serving.http.keys import ENVIRONMENT, parse_keys, read_keys

    text = os.environ.get(ENVIRONMENT, "")
    if args.no_keys:
        if args.keys:
            raise UserError("give either --keys or --no-keys.")
        return ()
    keys = read_keys(args.keys) if args.keys else parse_keys(text, ENVIRONMENT) if text.strip() else ()
    if not keys and not local:
        raise UserError(f"--host {args.host} is for others than this machine: give --keys FILE (uip2p serve --new-key "
                        "NAME makes one), or say --no-keys.")  # fmt: skip
    return keys


def hosts(allowed: list[str], local: bool) -> tuple[str, ...]:
    """Names that a Host header may give; empty is any."""
    from uip2p.serving.http.door import LOOPBACK

    return (*LOOPBACK, *(name.lower() for name in allowed)) if local or allowed else ()


def serve(args: argparse.Namespace, settings: Settings) -> None:
    """Listens at once and loads the model meanwhile. When it is told to stop and has answered what it can, the process
    ends. UserError: the model cannot be loaded."""
    from uip2p.serving.http import logs
    from uip2p.serving.http.listening import Server, configured
    from uip2p.serving.http.server import application

    allowed = check(args)
    logs.set_up()
    promise: Future[Service] = Future()

    def drain() -> None:
        if promise.done() and promise.exception() is None:
            promise.result().drain(settings.grace)

    config = configured(application(promise, settings, allowed), args.host, args.port, settings.grace)
    server = Server(config, drain)

    def loading() -> None:
        began = time.monotonic()
        try:
            promise.set_result(load_service(args))
            LOG.info("ready", extra={"model": settings.model, "seconds": round(time.monotonic() - began, 2)})
        except BaseException as error:  # whatever it is, it is for whoever has started this
            promise.set_exception(error)
            server.should_exit = True

    with listen(args.host, args.port) as listening:
        print(f"{address(args.host, listening)}  (docs at /docs; Ctrl-C ends it)", file=sys.stderr)
        threading.Thread(target=loading, name="loading", daemon=True).start()
        server.run([listening])
    if promise.done() and (error := promise.exception()) is not None:
        raise error
    server.drained()
    leave()
