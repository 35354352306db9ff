"""The command line: verbs only. Each verb is a module with `add_arguments(parser)` and `run(args)`."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import warnings
from pathlib import Path

from uip2p.errors import UserError

VERBS = {
    "edit": ("uip2p.editing.command", "edit a picture, or a folder of them, by instruction"),
    "ui": ("uip2p.serving.ui.command", "edit pictures in a browser, on this machine"),
    "inspect": ("uip2p.provenance.command", "say what pictures claim of how they were made, and whether it holds"),
    "serve": ("uip2p.serving.http.command", "edits over HTTP, as OpenAI's API has them"),
    "train": ("uip2p.learning.command", "train one recipe, or the whole miniature from nothing"),
    "data": ("uip2p.datasets.command", "prepare records for training: what would be computed again and again"),
    "compare": ("uip2p.compare.command", "train the rows of a comparison, measure all in one way, print the table"),
    "evaluate": ("uip2p.evaluate.command", "measure editors, our own or any other: the paper's benchmarks, and ours"),
    "export": ("uip2p.models.command", "write an editor in the form that another program takes"),
    "push": ("uip2p.models.push", "send a trained editor and its card to the Hugging Face hub"),
    "scenes": ("uip2p.scenes.command", "draw pictures of the miniature world with edits and exact answers"),
    "study": ("uip2p.people.command", "ask people: make, serve and count a study of edits"),
    "report": ("uip2p.report.command", "one page of everything that runs have measured, with their pictures"),
    "demo": ("uip2p.demo.command", "see everything work in four minutes, on any laptop"),
}

# Of a system call: a folder that may not be written, a file where a folder should be, a full disk. No fault of ours.
NOT_OURS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
)  # fmt: skip
PYTHONS = warnings.formatwarning


def main(argv: list[str] | None = None) -> int:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # else it asks for torchvision, which is not needed
    warnings.formatwarning = warning_line
    argv = sys.argv[1:] if argv is None else argv
    verb = argv[0] if argv else ""
    try:
        args = parse(argv)
        importlib.import_module(VERBS[args.verb][0]).run(args)
    except UserError as error:
        print(f"uip2p {verb}: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has seen enough: `uip2p … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
        return 141
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"uip2p {verb}: error: {where}{error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nuip2p {verb}: stopped.", file=sys.stderr)
        return 130
    return 0


def warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Our own warnings are a sentence, without the place in the source; those of others stay as Python has them."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parent):
        return f"uip2p: warning: {message}\n"
    return PYTHONS(message, category, filename, lineno, line)


def parse(argv: list[str]) -> argparse.Namespace:
    """Only the module of the verb that is asked for is imported: torch takes seconds."""
    parser = argparse.ArgumentParser(
        prog="uip2p", description="Image editing by instruction, learned without edited images."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, summary) in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        if argv and argv[0] == name:
            importlib.import_module(module).add_arguments(verb)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
