"""What a judge is asked, kept as text: a .toml file with the questions of one manner of judging.

[edit] is asked of input and output, [quality], where it is wanted, of the output alone. Each has `scale` (lowest and
highest number), `aspects` (what is scored, under these names), `pictures` (in the order in which they are shown) and
`system` (the rules); `kinds` may hold a sentence for a kind of edit. Another text is another version.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from uip2p.config import check_keys, from_dict, load_toml
from uip2p.errors import UserError
from uip2p.evaluate.judge.scores import schema
from uip2p.instructions.connection import Question

HERE = Path(__file__).parent
SHIPPED = {path.stem: path for path in sorted(HERE.glob("*.toml"))}
PICTURES = {"input": "the input, before the edit", "output": "the output, after the edit"}
NEEDED = {"edit": ("execution", "consistency"), "quality": ()}


@dataclass(frozen=True)
class Prompt:
    """See above. version: 12 hexadecimal digits, of the file's whole text."""

    scale: tuple[int, ...]
    aspects: tuple[str, ...]
    pictures: tuple[str, ...]
    system: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    def asked(self, instruction: str, kind: str) -> dict[str, str]:
        """What is asked beside the pictures: fields of a JSON object, and nothing more."""
        asked = {"instruction": instruction} if "input" in self.pictures else {}
        return asked | ({"note": self.kinds[kind]} if kind in self.kinds else {})

    def question(self, asked: Mapping[str, str], pictures: Mapping[str, Image.Image], picture_tokens: int) -> Question:
        """asked: see above. pictures: "input" and "output", RGB, sent as they are, each after a line that says which
        it is. picture_tokens: the most that one counts for."""
        parts: list[Mapping[str, Any]] = []
        for number, name in enumerate(self.pictures, 1):
            parts.append({"type": "text", "text": f"Picture {number}, {PICTURES[name]}:"})
            parts.append({"type": "image_url", "image_url": {"url": data_uri(pictures[name])}})
        if asked:
            parts.append({"type": "text", "text": json.dumps(asked, ensure_ascii=False)})
        messages: list[Mapping[str, Any]] = [
            {"role": "system", "content": self.system.strip()}, {"role": "user", "content": parts}
        ]  # fmt: skip
        return Question(messages, "scores", schema(self.aspects), picture_tokens * len(self.pictures))

    def share(self, score: float) -> float:
        """A number of the scale → [0, 1]."""
        return (score - self.scale[0]) / (self.scale[-1] - self.scale[0])


def data_uri(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()


def load_prompts(manner: str) -> dict[str, Prompt]:
    """"edit" and, if the file has it, "quality": of one of SHIPPED, or of a .toml file. UserError: it cannot be read as
    such."""
    path = SHIPPED.get(manner, Path(manner))
    if manner not in SHIPPED and path.suffix != ".toml":
        raise UserError(f"there is no manner of judging {manner!r}: choose {', '.join(SHIPPED)}, or give a .toml file.")
    tables = load_toml(path)
    check_keys(tables, NEEDED, str(path))
    if "edit" not in tables:
        raise UserError(f"{path}: has no table [edit], which asks for execution and consistency.")
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return {name: _checked(name, table, version, f"{path} [{name}]") for name, table in tables.items()}


def _checked(name: str, table: Mapping[str, Any], version: str, where: str) -> Prompt:
    prompt = from_dict(Prompt, {**table, "version": version}, where)
    if len(prompt.scale) != 2 or prompt.scale[0] >= prompt.scale[1]:
        raise UserError(f"{where}: scale must be its lowest and its highest number, got {list(prompt.scale)}.")
    for aspect in NEEDED[name]:
        if aspect not in prompt.aspects:
            raise UserError(f"{where}: aspects must hold {aspect!r}.")
    if not prompt.aspects or not all(aspect.isidentifier() for aspect in prompt.aspects):
        raise UserError(f"{where}: aspects are names such as 'naturalness', got {list(prompt.aspects)}.")
    if not prompt.pictures or any(picture not in PICTURES for picture in prompt.pictures):
        raise UserError(f"{where}: pictures are of {', '.join(PICTURES)}, got {list(prompt.pictures)}.")
    return prompt
