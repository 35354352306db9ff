"""What acceptance, as it is now, makes of the edits that a run proposed, whatever was accepted then.

    python tools/judge_run.py OUT [--rule encoder=FOLDER …] [-o kept.tsv]

OUT: the folder of a `uip2p data generate`, finished or not. -o: the accepted rows, to be read by hand: columns for a
rubric are left free (does the instruction make sense for the picture, is the edited caption right, is the reverse
visible and right).
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from uip2p.config import apply_overrides, from_dict
from uip2p.instructions.accept import Judge, Rules
from uip2p.instructions.shards import finished, read_journal, read_rows
from uip2p.instructions.writer import Edit
from uip2p.records import Caption

TEXTS = ("kind", "instruction", "edited_caption", "reverse_instruction")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rule", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-o", "--kept", type=Path, metavar="FILE.tsv")
    args = parser.parse_args()
    judge = Judge(from_dict(Rules, apply_overrides({}, args.rule), "--rule"))

    found = sorted(proposals(args.out), key=lambda row: row[0])
    pairs = [(edit, caption) for _, caption, edit, _ in found if edit is not None]
    verdicts = judge(pairs)
    kept = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.accepted]
    errors = Counter(re.sub(r"[\d.]+", "…", error)[:70] for *_, error in found if error)
    captions = len({row for row, *_ in found})
    print(f"{captions} captions, {sum(errors.values())} without a valid edit, {len(pairs)} edits proposed")
    print(f"{len(kept)} accepted, {len(kept) / max(1, len(pairs)):.1%} of the edits")
    shares = {
        "no valid edit": errors,
        "rejected": Counter(reason for verdict in verdicts for reason in verdict.reasons),
        "not judged": Counter(name for verdict in verdicts for name in verdict.not_judged),
        "kind, proposed": Counter(edit.kind for edit, _ in pairs),
        "kind, accepted": Counter(edit.kind for edit, _ in kept),
    }
    for title, counts in shares.items():
        for name, count in counts.most_common():
            print(f"{title}\t{count}\t{name}")
    if args.kept:
        rows = ["\t".join((*(getattr(e, name) for name in TEXTS), caption.caption, caption.id)) for e, caption in kept]
        head = "\t".join((*TEXTS, "caption", "id", "makes sense", "edited caption right", "reverse right"))
        args.kept.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def proposals(out: Path) -> Iterator[tuple[int, Caption, Edit | None, str]]:
    """(row, caption, edit, "") of every edit, and (row, caption, None, error) of every caption without one."""
    for folder in ("edits", "rejected"):
        for row in read_rows(out, folder):
            edit = Edit(*(row[name] for name in TEXTS)) if row["instruction"] else None
            yield row["row"], Caption(row["id"], row["image_id"], row["caption"]), edit, row.get("error") or ""
    done = set(finished(out))
    for path in sorted((out / "journal").glob("*.jsonl")):
        for line in read_journal(path) if int(path.stem) not in done else ():
            caption = Caption(line.id, line.image_id, line.caption)
            yield from ((line.row, caption, each.edit, "") for each in line.edits)
            if line.error:
                yield line.row, caption, None, line.error


if __name__ == "__main__":
    main()
