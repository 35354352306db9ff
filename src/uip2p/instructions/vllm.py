"""Edits written by an LLM in vLLM, on as many GPUs as a Ray cluster has: Ray Data's LLM batch inference.

Captions go to the engines, and what they answer comes back to the process that journals it; prompts, the answer's
schema and how it is read are those of the other LLM writers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.answers import InvalidAnswer, parse, schema
from uip2p.instructions.local import GEMMA2
from uip2p.instructions.prompts import load_prompts, question, version
from uip2p.instructions.writer import Mode, Written
from uip2p.learning.randomness import key
from uip2p.records import Caption


@dataclass(frozen=True, kw_only=True)
class VllmConfig:
    """model: a hub id, or a folder that all machines have. replicas: engines, each on `gpus` GPUs (tensor parallel).
    chunk: captions that are handed out together; the engines are started once for each such part."""

    model: str = GEMMA2
    edits: int = 4  # asked for in one call
    temperature: float = 0.0
    max_tokens: int = 512  # of an answer
    context: int = 4096  # tokens of prompt and answer
    prompts: str = "default"  # see prompts/__init__.py
    address: str = "auto"
    replicas: int = 1
    gpus: int = 1
    batch_size: int = 64
    chunk: int = 200_000

    def __post_init__(self) -> None:
        for name in ("edits", "max_tokens", "context", "replicas", "gpus", "batch_size", "chunk"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: give a number from 1 up.")


FREE = frozenset(("address", "replicas", "gpus", "batch_size", "chunk"))  # see connection.FREE
