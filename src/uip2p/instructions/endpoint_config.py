"""How an OpenAI-compatible endpoint is asked: options, and which of them change nothing that is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from uip2p.errors import UserError

Structured = Literal["auto", "json_schema", "json_object", "text"]


@dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """How an endpoint is asked. Prices are the provider's, per million tokens, in any currency: that of max_cost."""

    model: str
    base_url: str = ""  # such as http://localhost:8000/v1; "": OpenAI's own
    api_key_env: str = "OPENAI_API_KEY"  # the variable that holds the key; local servers need none
    temperature: float = 0.7
    max_tokens: int = 1024  # of an answer
    concurrency: int = 16  # calls at a time
    timeout: float = 120.0  # seconds for a call
    tries: int = 8  # for a question, where the endpoint fails
    invalid_tries: int = 3  # for a question, where its answer holds nothing valid
    pause: float = 1.0  # seconds; before try k + 1: a random part of pause · 2^k, and what the server asks for
    longest_pause: float = 60.0
    structured: Structured = "auto"  # auto: the strictest that the server takes
    max_calls: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "concurrency", "tries", "invalid_tries", "max_calls"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: give a number from 1 up.")
        for name in ("temperature", "pause", "longest_pause", "max_cost", "price_in", "price_out"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}: give a number from 0 up.")
        if not 0 < self.timeout < math.inf:
            raise UserError(f"timeout is {self.timeout}: give a number of seconds above 0.")
        if self.structured not in get_args(Structured):
            raise UserError(f"structured is {self.structured!r}: choose {', '.join(get_args(Structured))}.")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise UserError("a cap on cost needs price_in and price_out, the provider's prices per million tokens.")
        if self.base_url and urlsplit(self.base_url).scheme not in ("http", "https"):
            raise UserError(f"base_url is {self.base_url!r}: give an address such as http://localhost:8000/v1.")
        if "@" in urlsplit(self.base_url).netloc:
            raise UserError("base_url holds a password: put it into the environment, in the variable of api_key_env.")


@dataclass(frozen=True, kw_only=True)
class EndpointConfig(ChatConfig):
    """Of an endpoint that writes edits."""

    edits: int = 4  # asked for in one call
    prompts: str = "default"  # see prompts/__init__.py

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.edits < 1:
            raise UserError(f"edits is {self.edits}: give a number from 1 up.")


# What of it may change when a run goes on: nothing that is written depends on it.
FREE = frozenset(("base_url", "api_key_env", "concurrency", "timeout", "tries", "pause", "longest_pause", "max_calls",
                  "max_cost", "price_in", "price_out"))  # fmt: skip
