"""The writer that a config names. Each is imported when it is asked for: their packages are large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from uip2p.config import from_dict, to_dict
from uip2p.errors import UserError
from uip2p.instructions.config import Config
from uip2p.instructions.shards import Counts
from uip2p.instructions.writer import KINDS, Edit, Mode, Writer, Written
from uip2p.records import Caption


@dataclass(frozen=True)
class GrammarConfig:
    """edits: at most so many a caption. kinds: of `writer.KINDS`."""

    edits: int = 4
    kinds: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class NoOptions:
    """Of the writer that takes what is there."""


def open_writer(config: Config, spent: Counts) -> Writer:
    """spent: by this run in a life before, which a cap holds for too. UserError: a model, key or package is missing."""
    kind, _ = _settings(config.writer.name)
    settings: Any = from_dict(kind, config.writer.options, f"writer {config.writer.name}")
    if config.writer.name == "endpoint":
        from uip2p.instructions.connection import Budget
        from uip2p.instructions.endpoint import EndpointWriter

        return EndpointWriter(settings, config.seed, Budget(settings, spent.calls, spent.tokens_in, spent.tokens_out))
    if config.writer.name in ("transformers", "gguf"):
        from uip2p.instructions.local import LocalWriter

        if (config.writer.name == "gguf") != settings.model.endswith(".gguf"):
            raise UserError(f"--model {settings.model}: gguf takes a .gguf file, and transformers all others.")
        return LocalWriter(settings, config.seed)
    if config.writer.name == "vllm":
        from uip2p.instructions.vllm import VllmWriter

        return VllmWriter(settings, config.seed)
    if config.writer.name == "source":
        return SourceWriter()
    from uip2p.instructions.grammar import GrammarWriter

    return GrammarWriter(config.seed, settings.edits, settings.kinds)


def options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a writer, those not given at their defaults. UserError: it has no such option or value."""
    kind, _ = _settings(name)
    has = [field.name for field in fields(kind)]
    for option in given:
        if option not in has:
            names = ", ".join(f"--{other.replace('_', '-')}" for other in has) or "none"
            raise UserError(f"--{option.replace('_', '-')}: the writer {name} has no such option; it has {names}.")
    return to_dict(from_dict(kind, given, f"--writer {name}"))


def free(name: str) -> frozenset[str]:
    """Options that a run may go on with other values of: nothing that is written depends on them."""
    return _settings(name)[1]


def _settings(name: str) -> tuple[type, frozenset[str]]:
    """A writer's options, and which of them are free."""
    if name == "endpoint":
        from uip2p.instructions import endpoint_config

        return endpoint_config.EndpointConfig, endpoint_config.FREE
    if name in ("transformers", "gguf"):
        from uip2p.instructions import local

        return local.LocalConfig, local.FREE
    if name == "vllm":
        from uip2p.instructions import vllm

        return vllm.VllmConfig, vllm.FREE
    if name == "grammar":
        return GrammarConfig, frozenset()
    if name == "source":
        return NoOptions, frozenset()
    raise UserError(f"there is no writer {name!r}.")


class SourceWriter:
    """What the source has already, as it is: instruction, edited caption and reverse instruction (HQ-Edit has them)."""

    name, model, prompt = "source", "", ""

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        for row, caption in captions:
            texts = {name: getattr(caption, name) for name in ("instruction", "edited_caption", "reverse_instruction")}
            missing = [name for name, text in texts.items() if not text]
            if missing:
                yield Written(row, error=f"the source has no {missing[0]}")
            else:
                yield Written(row, (Edit("other", **texts),))
