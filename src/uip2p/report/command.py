"""`uip2p report`: what runs have measured, as one HTML page that needs nothing but itself, and as Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from uip2p.errors import UserError
from uip2p.report.collect import FILES, collect, read_json
from uip2p.report.markdown import markdown
from uip2p.report.page import html
from uip2p.report.user_study import is_user_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", metavar="RUN", type=Path, nargs="+",
        help="folders (or the file in them): of uip2p evaluate --out, of uip2p compare, or of a user study's report")
    add("-o", "--out", type=Path, metavar="OUT",
        help="a folder, or a file name that ends in .html (default: report.html in the first RUN)")
    add("--by", metavar="FIGURE",
        help="rank the examples by this figure (default: l1 to the ground truth; direction, where there is none)")


def run(args: argparse.Namespace) -> None:
    runs = [path.parent if path.is_file() and path.name in FILES else path for path in args.runs]
    page = page_path(args.out or runs[0])
    report = collect(runs, args.by, shlex.join(["uip2p", *sys.argv[1:]]))
    from uip2p.images import write_atomic  # torch takes seconds

    text, missing = html(report)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(page, text.encode("utf-8", "replace"))
    data = json.dumps(report.data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(page.with_suffix(".json"), data.encode("utf-8", "replace"))
    write_atomic(page.with_suffix(".md"), markdown(report, page).encode("utf-8", "replace"))
    for what in missing:
        print(f"{page}: a picture is not there: {what}", file=sys.stderr)
    print(f"{page}, {page.with_suffix('.md').name}, {page.with_suffix('.json').name}")


def page_path(out: Path) -> Path:
    """OUT → where the page goes. UserError: a file name of another kind."""
    if out.suffix.lower() in (".html", ".htm") and not out.is_dir():
        return out
    if out.suffix.lower() in (".md", ".json", ".pdf") or out.is_file():
        raise UserError(f"{out}: give a folder, or a file name that ends in .html.")
    page = out / "report.html"
    if (beside := page.with_suffix(".json")).is_file() and is_user_study(read_json(beside)):
        raise UserError(f"{beside}: is a user study's, and would be written over. Say with -o where the report goes.")
    return page
