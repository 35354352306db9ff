"""Options of the verbs that serve: `uip2p serve` and `uip2p ui`."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from uip2p.editing.options import add_model, add_place, load
from uip2p.errors import UserError
from uip2p.provenance import options as provenance
from uip2p.safety import options as safety
from uip2p.safety.policy import load_policy
from uip2p.serving.asking import Limits
from uip2p.serving.heap import keep_small

if TYPE_CHECKING:
    from uip2p.serving.service import Service

LOG = logging.getLogger("uip2p.serving")


def add_service(parser: argparse.ArgumentParser, port: int, deadline: float = 120) -> None:
    add_model(parser)
    parser.add_argument("--clip", help="what checks edits: a CLIPModel folder or hub id (default: a shipped model's "
                        "own)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, help=f"0 is any that is free (default: {port})")
    work = parser.add_argument_group("queue and limits")
    most = work.add_argument
    most("--queue", type=int, default=8, metavar="N", help="edits that may wait; more are told when to come back "
         "(default: 8)")
    most("--batch", type=int, default=8, metavar="N", help="pictures that are made at a time, at most (default: 8)")
    most("--deadline", type=float, default=deadline, metavar="SECONDS", help="from question to answer, at most "
         f"(default: {deadline:g})")
    most("--max-results", type=int, default=8, metavar="N", help="results of one request, at most (default: 8)")
    most("--max-steps", type=int, default=200, metavar="N", help="steps of one result, at most (default: 200)")
    most("--max-pixels", type=int, default=25_000_000, metavar="N", help="of a picture that comes, at most "
         "(default: 25000000)")
    add_place(parser)
    safety.add_arguments(parser)


def limits(args: argparse.Namespace) -> Limits:
    """UserError: an option out of its range."""
    names = ("queue", "batch", "deadline", "max_results", "max_steps", "max_pixels")
    for name in names:
        if not getattr(args, name) > 0:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}: give a number above 0.")
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port is {args.port}: give a number from 0 to 65535.")
    return Limits(
        queue=args.queue, batch=args.batch, deadline=args.deadline, count=args.max_results, steps=args.max_steps
    )


def check(args: argparse.Namespace) -> Limits:
    """What is wrong with the options, before anything is loaded. UserError: one out of its range, a certificate that
    cannot sign, a rule file that cannot be read."""
    allowed = limits(args)
    provenance.from_args(args)
    load_policy(args.policy)
    return allowed


def load_service(args: argparse.Namespace) -> Service:
    """The model that --model names, with a service in front of it, what it declines, and how its pictures are written
    (the parser has provenance's options, too). UserError: what cannot be loaded."""
    from uip2p.editing.reversibility import load_encoder
    from uip2p.serving.service import Service

    keep_small()
    writer, editor = provenance.from_args(args), load(args)
    if args.clip is not None:
        load_encoder(args.clip, editor)  # else who first asks for a check is told what is wrong with it
    declined = safety.from_args(args, args.model, str(editor.device))
    for line in declined.describe():
        LOG.info(line)
    checker = declined.checker
    return Service(
        editor, limits(args), check_prompt=declined.policy.check, clip=args.clip,
        refuse_pictures=checker.refusals if checker is not None else None, writer=writer,
    )  # fmt: skip


def is_shipped(args: argparse.Namespace) -> bool:
    """Whether it is a model of ours, as it was shipped: then it is known what it can do."""
    from uip2p.models.folder import SHIPPED

    return args.model in SHIPPED and args.lora is None
