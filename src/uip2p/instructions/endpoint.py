"""Edits written by an LLM behind any OpenAI-compatible endpoint: Gemini's, vLLM, SGLang, Ollama, llama.cpp, a proxy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from uip2p.instructions.answers import parse, schema
from uip2p.instructions.calls import Asked, ask_all
from uip2p.instructions.connection import Budget, Connection, Question
from uip2p.instructions.endpoint_config import EndpointConfig
from uip2p.instructions.prompts import load_prompts, question, version
from uip2p.instructions.writer import Edit, Mode, Written
from uip2p.records import Caption

EXAMPLE = {
    "full": '{"caption": "A red car in front of a white house", "edits": 1}',
    "reverse": '{"caption": "A red car", "instruction": "make the car blue", "edited_caption": "A blue car"}',
}


class EndpointWriter:
    """See writer.Writer. Its caps hold over all that it writes.

    budget: what was spent already, where a run goes on. UserError: no key where one is needed, no such prompt.
    """

    name = "endpoint"

    def __init__(self, config: EndpointConfig, seed: int = 0, budget: Budget | None = None):
        self.config, self.seed, self.model = config, seed, config.model
        self.prompts = load_prompts(config.prompts)
        self.prompt = version(self.prompts)
        self.budget = budget or Budget(config)
        self.connection = Connection(config, self.budget)

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        empty: list[int] = []
        example, asked = self._question(EXAMPLE[mode], mode), self._asked(captions, mode, empty)
        for answered in ask_all(self.connection, example, asked, self.seed):
            spent = (answered.calls, answered.tokens_in, answered.tokens_out)
            yield Written(answered.tag, answered.value or (), answered.error, *spent)
        yield from (Written(row, error="the caption has no text") for row in empty)

    def _asked(
        self, captions: Iterable[tuple[int, Caption]], mode: Mode, empty: list[int]
    ) -> Iterator[Asked[tuple[Edit, ...]]]:
        """empty: takes the rows of which there is nothing to ask."""
        for row, caption in captions:
            text = question(caption, mode, self.config.edits)
            if text:
                read = partial(parse, mode=mode, caption=caption, most=self.config.edits)
                yield Asked(row, caption.id, self._question(text, mode), read)
            else:
                empty.append(row)

    def _question(self, text: str, mode: Mode) -> Question:
        return Question(self.prompts[mode].messages(text), "edits", schema(mode))
