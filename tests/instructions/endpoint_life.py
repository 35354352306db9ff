"""One life of `data generate` against an endpoint, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from processes import context

CONCURRENCY = 8
OPTIONS = {"model": "m", "edits": 1, "concurrency": CONCURRENCY, "timeout": 1.0, "pause": 0.02, "invalid_tries": 8,
           "tries": 12}  # fmt: skip


def start(source: Path, out: Path, base_url: str) -> Any:
    """The process; what it says is in `out`.log."""
    process = context.Process(target=life, args=(source, out, base_url))
    process.start()
    return process


def life(source: Path, out: Path, base_url: str) -> None:
    log = os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from uip2p.instructions.config import Config, SourceConfig, WriterConfig
    from uip2p.instructions.generate import generate
    from uip2p.instructions.writers import options

    writer = WriterConfig("endpoint", options("endpoint", OPTIONS | {"base_url": base_url}))
    generate(Config(SourceConfig(str(source)), writer, shard_rows=100), out, quiet=True)
