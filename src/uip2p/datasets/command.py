"""`uip2p data`: verbs only. Each action is a module with `add_arguments(parser)` and `run(args)`."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

ACTIONS = {
    "generate": ("uip2p.instructions.command", "edits for captioned pictures, by a grammar or an LLM"),
    "validate": ("uip2p.instructions.validate", "judge every row that training would read, and open its picture"),
    "report": ("uip2p.instructions.report.command", "what is in a run's folder: one HTML page"),
    "view": ("uip2p.instructions.report.view", "look at rows with their pictures"),
    "sft": ("uip2p.instructions.sft", "accepted edits as chats, to fine-tune an LLM on"),
    "cache": ("uip2p.learning.cache_command", "latents, readings and CLIP embeddings of records, into shards"),
}


class Action(argparse.ArgumentParser):
    """Imports its module when it is the one that is asked for: torch takes seconds."""

    module = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        importlib.import_module(self.module).add_arguments(self)
        return super().parse_known_args(args, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Action)
    for name, (module, summary) in ACTIONS.items():
        actions.add_parser(name, help=summary, description=summary).module = module


def run(args: argparse.Namespace) -> None:
    importlib.import_module(ACTIONS[args.action][0]).run(args)
