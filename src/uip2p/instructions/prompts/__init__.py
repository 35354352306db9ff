"""Few-shot prompts, kept as text: full.txt and reverse.txt of a folder. Those here are for an instruct LLM of a few
billion parameters and more; `small` is for less, and `tuned` for one that was fine-tuned (sft.py) and needs no rules.

A file is read from top to bottom: lines that begin with # before anything else are remarks; then parts, each headed by
a line "=== system", "=== user" or "=== assistant". Another text is another version.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from uip2p.errors import UserError
from uip2p.instructions.answers import clean
from uip2p.instructions.writer import Mode
from uip2p.records import Caption

HERE = Path(__file__).parent
SHIPPED = {"default": HERE, "small": HERE / "small", "tuned": HERE / "tuned"}
LONGEST = 600  # characters of a caption that are sent: captions of pictures have 50, those of LAION's web pages more
ROLES = ("system", "user", "assistant")

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """system: the rules, or "". examples: questions and answers, in turn. version: 12 hexadecimal digits."""

    system: str
    examples: tuple[tuple[str, str], ...]  # (role, text)
    version: str

    def messages(self, question: str) -> Messages:
        """The conversation that asks `question`, in the form of OpenAI's chat API."""
        told = [{"role": "system", "content": self.system}] if self.system else []
        shown = [{"role": role, "content": text} for role, text in self.examples]
        return [*told, *shown, {"role": "user", "content": question}]


def load_prompts(name: str | Path = "default") -> dict[Mode, Prompt]:
    """The prompts of both modes: one of SHIPPED, or a folder with full.txt and reverse.txt. UserError: no such folder,
    or a file that cannot be read as a prompt."""
    folder = SHIPPED.get(str(name), Path(name))
    return {mode: _read(folder / f"{mode}.txt") for mode in (cast(Mode, "full"), cast(Mode, "reverse"))}


def version(prompts: dict[Mode, Prompt]) -> str:
    """One for both modes, since a writer has one."""
    return hashlib.sha256("".join(prompts[mode].version for mode in sorted(prompts)).encode()).hexdigest()[:12]


def question(caption: Caption, mode: Mode, edits: int) -> str:
    """What is asked about a caption: one JSON object, in which the caption is a string and nothing more. It is sent
    cleaned (see `clean`), and cut to LONGEST characters with a note. "" where nothing of it is left."""
    asked: dict[str, str | int] = {"caption": _sent(caption.caption)}
    if not asked["caption"]:
        return ""
    if mode == "reverse":
        asked |= {"instruction": _sent(caption.instruction), "edited_caption": _sent(caption.edited_caption)}
    else:
        asked["edits"] = edits
    if len(clean(caption.caption)) > LONGEST:
        asked["note"] = f"the caption was cut after {LONGEST} characters"
    return json.dumps(asked, ensure_ascii=False)


def _sent(text: str) -> str:
    text = clean(text[: 20 * LONGEST])
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0]


def _read(file: Path) -> Prompt:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read. A prompt is one of {', '.join(SHIPPED)}, or a folder with full.txt and "
            "reverse.txt in it."
        ) from error
    parts: list[tuple[str, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("=== "):
            role = line[4:].strip()
            if role not in ROLES:
                raise UserError(f"{file}, line {number}: '=== {role}': a part is one of {', '.join(ROLES)}.")
            parts.append((role, []))
        elif parts:
            parts[-1][1].append(line)
        elif line.strip() and not line.startswith("#"):
            raise UserError(f"{file}, line {number}: text before the first part; begin with a line '=== system'.")
    read = [(role, "\n".join(lines).strip()) for role, lines in parts]
    system = read.pop(0)[1] if read and read[0][0] == "system" else ""
    if [role for role, _ in read] != ["user", "assistant"] * (len(read) // 2):
        raise UserError(f"{file}: after '=== system', '=== user' and '=== assistant' must follow each other in turn.")
    return Prompt(system, tuple(read), hashlib.sha256(text.encode()).hexdigest()[:12])
