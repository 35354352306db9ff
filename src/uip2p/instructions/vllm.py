"""Edits written by an LLM in vLLM on the GPUs of a Ray cluster: Ray Data's LLM batch inference.

Captions go to the engines, and their answers come back to the process that journals them. Prompts, the answer's schema
and how it is read are those of the other LLM writers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.answers import InvalidAnswer, parse, schema
from uip2p.instructions.local import GEMMA2
from uip2p.instructions.prompts import load_prompts, question, version
from uip2p.instructions.writer import Mode, Written
from uip2p.learning.randomness import key
from uip2p.records import Caption

BACK = ("row", "generated_text", "num_input_tokens", "num_generated_tokens", "__inference_error__")


@dataclass(frozen=True, kw_only=True)
class VllmConfig:
    """model: a hub id, or a folder that all machines have. replicas: engines, each on `gpus` GPUs. chunk: captions that
    are handed to them together; they are started anew for each such part."""

    model: str = GEMMA2
    edits: int = 4  # asked for in one call
    temperature: float = 0.0
    max_tokens: int = 512  # of an answer
    context: int = 4096  # tokens of prompt and answer
    prompts: str = "default"  # see prompts/__init__.py
    address: str = "auto"  # of the Ray cluster
    replicas: int = 1
    gpus: int = 1
    batch_size: int = 64
    chunk: int = 200_000

    def __post_init__(self) -> None:
        for name in ("edits", "max_tokens", "context", "replicas", "gpus", "batch_size", "chunk"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: give a number from 1 up.")


FREE = frozenset(("address", "replicas", "gpus", "batch_size", "chunk"))  # see connection.FREE


class VllmWriter:
    """See writer.Writer. UserError: Ray, its LLM part or a cluster is not there; no such prompt."""

    name = "vllm"

    def __init__(self, config: VllmConfig, seed: int = 0):
        self.config, self.seed, self.model = config, seed, config.model
        self.prompts = load_prompts(config.prompts)
        self.prompt = version(self.prompts)

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        from uip2p.instructions import ray_engine
        from uip2p.instructions.config import Engine

        numbered, ray = iter(captions), None
        try:
            while chunk := dict(islice(numbered, self.config.chunk)):
                asked = {row: question(caption, mode, self.config.edits) for row, caption in chunk.items()}
                yield from (Written(row, error="the caption has no text") for row, text in asked.items() if not text)
                ray = ray or ray_engine.start(Engine("ray", address=self.config.address))
                items = [
                    {"row": row, "question": text, "seed": key(self.seed, chunk[row].id) % 2**31}
                    for row, text in asked.items()
                    if text
                ]
                for answer in self.processor(mode)(ray.data.from_items(items)).iter_rows() if items else ():
                    yield self.read(answer, chunk[answer["row"]], mode)
        finally:
            if ray is not None:
                ray.shutdown()

    def processor(self, mode: Mode) -> Any:
        """Rows with row, question and seed → rows with the columns of BACK."""
        _, llm = self._library()
        prompt, sampling = self.prompts[mode], self.sampling(mode)

        def ask(row: dict[str, Any]) -> dict[str, Any]:
            return {
                "row": row["row"], "messages": prompt.messages(row["question"]),
                "sampling_params": {**sampling, "seed": row["seed"]},
            }  # fmt: skip

        def keep(row: dict[str, Any]) -> dict[str, Any]:
            return {name: row[name] for name in BACK}

        return llm.build_processor(self.engines(), preprocess=ask, postprocess=keep)

    def engines(self) -> Any:
        """Ray's vLLMEngineProcessorConfig. A row that fails comes back with its error; prompts begin alike."""
        _, llm = self._library()
        return llm.vLLMEngineProcessorConfig(
            model_source=self.model, concurrency=self.config.replicas, batch_size=self.config.batch_size,
            should_continue_on_error=True,
            engine_kwargs={
                "max_model_len": self.config.context, "tensor_parallel_size": self.config.gpus,
                "enable_prefix_caching": True,
            },
        )  # fmt: skip

    def sampling(self, mode: Mode) -> dict[str, Any]:
        """vLLM's SamplingParams: the answer is held to the schema."""
        return {
            "temperature": self.config.temperature, "max_tokens": self.config.max_tokens,
            "structured_outputs": {"json": schema(mode)},
        }  # fmt: skip

    def read(self, answer: dict[str, Any], caption: Caption, mode: Mode) -> Written:
        """A row of BACK → what was written."""
        used = (1, int(answer["num_input_tokens"]), int(answer["num_generated_tokens"]))
        if answer["__inference_error__"]:
            return Written(answer["row"], (), f"vLLM: {answer['__inference_error__']}", *used)
        try:
            return Written(answer["row"], parse(answer["generated_text"], mode, caption, self.config.edits), "", *used)
        except InvalidAnswer as fault:
            return Written(answer["row"], (), f"no valid answer: {fault}", *used)

    @staticmethod
    def _library() -> tuple[Any, Any]:
        try:
            import ray
            import ray.data.llm
        except ImportError as error:
            raise UserError(f"the writer vllm needs Ray's LLM part ({error}): pip install 'ray[llm]'.") from None
        return ray, ray.data.llm
