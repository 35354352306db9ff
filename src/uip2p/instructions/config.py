"""What is asked of a run, and what of it may change when the run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from uip2p.config import to_dict
from uip2p.datasets import open_captions
from uip2p.datasets.source import CaptionSource
from uip2p.datasets.streaming import CaptionStream, Shard, shards
from uip2p.errors import UserError
from uip2p.instructions.accept import Rules
from uip2p.instructions.writer import Mode, Writer


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where the captions are: see `datasets.open_captions`."""

    path: str
    columns: dict[str, str] = field(default_factory=dict)
    layout: str | None = None
    split: str | None = None
    config: str | None = None
    streaming: bool = False
    first_seed: bool = False
    descriptions: str | None = None

    def open(self) -> CaptionSource | CaptionStream:
        options = to_dict(self)
        return open_captions(options.pop("path"), **options)


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """name: see `writers.open_writer`. options: all of that writer's own, by name."""

    name: str = "grammar"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """With the captions it decides every byte that the run of a deterministic writer ends with.

    seed: of what the writer draws. limit: the first so many captions, 0 for all (of a stream: of its first
    part). shard_rows: captions in a shard, which is what is done, resumed and handed out at once. copy_pictures: into
    the edits, which are then a data set without the source. rules: what is accepted.
    """

    source: SourceConfig
    writer: WriterConfig = field(default_factory=WriterConfig)
    mode: Mode = "full"
    seed: int = 0
    limit: int = 0
    shard_rows: int = 1000
    copy_pictures: bool = False
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("limit", 0), ("shard_rows", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} starts at {least}, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Engine:
    """By whom it is done; nothing of the result depends on it. workers: processes of this machine, or actors of Ray.
    address: of a Ray cluster, "" for one that is started here."""

    name: Literal["local", "ray"] = "local"
    workers: int = 1
    address: str = ""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"workers starts at 1, got {self.workers}.")


def described(config: Config, source: CaptionSource | CaptionStream, writer: Writer) -> dict[str, Any]:
    """config.json: what was asked for, which captions it was asked of, and who writes."""
    asked = to_dict(config)
    asked["writer"] |= {"model": writer.model, "prompt": writer.prompt}
    return {"captions": fingerprint(source), **asked}


def fingerprint(source: CaptionSource | CaptionStream) -> dict[str, Any]:
    """How many captions there are, and what the first and the last are called: other ones are another source."""
    if isinstance(source, CaptionStream):
        return {"parts": source.parts}
    return {"rows": len(source), "first": _name(source, 0), "last": _name(source, len(source) - 1)}


def _name(source: CaptionSource, row: int) -> str:
    try:
        return source.caption(row).id
    except UserError:  # a row that cannot be read is no reason to stop: it will be said in its place
        return ""


def plan(source: CaptionSource | CaptionStream, config: Config) -> list[Shard]:
    """The shards of a run; each is a function of the source and the config."""
    whole = shards(source, config.shard_rows)
    if not config.limit:
        return whole
    if isinstance(source, CaptionStream):
        return [replace(whole[0], rows=config.limit)]
    first = whole[0].first
    return [
        replace(shard, rows=min(shard.rows or 0, first + config.limit - shard.first))
        for shard in whole
        if shard.first < first + config.limit
    ]
