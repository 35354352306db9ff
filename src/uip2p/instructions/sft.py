"""`uip2p data sft`: a set to fine-tune the LLM on, as the paper fine-tuned Gemma 2: what was accepted, in the chat
format of TRL's SFTTrainer, one conversation a caption.

The prompts are `tuned` by default: no rules and no examples, so that a conversation is question and answer and fits
templates without a system role. Whoever writes with the fine-tuned LLM then gives the same prompts: --prompts tuned.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.answers import write
from uip2p.instructions.prompts import Prompt, load_prompts, question
from uip2p.instructions.shards import finished, read_rows
from uip2p.instructions.writer import Edit, Mode
from uip2p.learning import checkpoint
from uip2p.learning.randomness import key
from uip2p.records import Caption


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="the folder of a uip2p data generate")
    add("-o", "--file", required=True, type=Path, metavar="FILE.jsonl", help="and FILE-validation.jsonl beside it")
    add("--mode", choices=("full", "reverse"), default="full", help="reverse: only the reverse instruction is learned")
    add("--prompts", default="tuned", help="default, small, tuned, or a folder of your own (default: tuned)")
    add("--validation", type=float, default=0.05, metavar="PART", help="of the pictures (default: 0.05)")
    add("--seed", type=int, default=0, help="of which pictures those are (default: 0)")


def run(args: argparse.Namespace) -> None:
    done = export(args.out, args.file, args.mode, args.prompts, args.validation, args.seed)
    print(f"{done.files[0]}: {done.conversations:,} conversations; {done.files[1]}: {done.validation:,}; "
          f"{done.edits:,} edits in all")  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """conversations, validation: how many are in the first file and in the second. edits: in both."""

    conversations: int
    validation: int
    edits: int
    files: tuple[Path, Path]


def export(
    out: Path, file: Path, mode: Mode = "full", prompts: str = "tuned", validation: float = 0.05, seed: int = 0
) -> Exported:
    """The accepted edits of a run's folder → FILE.jsonl and FILE-validation.jsonl.

    validation: the part of the pictures, chosen by their ids, whose captions are kept for validation: a picture is in
    one file with all its captions. UserError: there is nothing to export, or a file cannot be written.
    """
    if not 0 <= validation < 1:
        raise UserError(f"validation is {validation}: give a part from 0 to below 1.")
    if not finished(out):
        raise UserError(f"{out}: no shard is finished in it. Give the folder of a `uip2p data generate`.")
    if next(read_rows(out), None) is None:
        raise UserError(f"{out}: has no accepted edit to train on. See uip2p data report {out}.")
    prompt = load_prompts(prompts)[mode]
    held = file.with_name(f"{file.stem}-validation{file.suffix}")
    counts = {file: 0, held: 0}
    edits = 0

    def to(path: Path) -> Callable[[Path], None]:
        def write_lines(new: Path) -> None:
            nonlocal edits
            with open(new, "w", encoding="utf-8") as lines:
                for image_id, messages, count in conversations(read_rows(out), prompt, mode):
                    if (key(seed, "sft", image_id) / 2**128 < validation) == (path == held):
                        lines.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
                        counts[path] += 1
                        edits += count

        return write_lines

    for path in counts:  # one after the other, so that no set is too large for the memory
        checkpoint.replace_file(path, to(path))
    if not counts[file]:
        raise UserError(f"{file}: all pictures fell to validation, {validation:g} of them: give a smaller part.")
    return Exported(counts[file], counts[held], edits, (file, held))


def conversations(
    rows: Iterator[dict[str, Any]], prompt: Prompt, mode: Mode
) -> Iterator[tuple[str, list[dict[str, str]], int]]:
    """Rows in the source's order → of each caption (of each edit, where only the reverse is learned): the id of its
    picture, the messages, and how many edits are in them."""
    for _, group in groupby(rows, key=lambda row: row["row"]):
        of_caption = list(group)
        for some in [of_caption] if mode == "full" else [[row] for row in of_caption]:
            first = some[0]
            caption = Caption(*(first[name] for name in ("id", "image_id", "caption", "instruction", "edited_caption")))
            edits = [_edit(row) for row in some]
            messages = prompt.messages(question(caption, mode, len(edits)))
            yield first["image_id"], [*messages, {"role": "assistant", "content": write(edits, mode)}], len(edits)


def _edit(row: dict[str, Any]) -> Edit:
    return Edit(*(row[name] for name in ("kind", "instruction", "edited_caption", "reverse_instruction")))
