"""Edits written by an LLM in this process: transformers, Gemma 2 as in the paper, or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from uip2p.errors import UserError, first_line
from uip2p.instructions.answers import InvalidAnswer, parse
from uip2p.instructions.prompts import Messages, load_prompts, question, version
from uip2p.instructions.writer import Mode, Written
from uip2p.learning.randomness import key
from uip2p.records import Caption

GEMMA2 = "google/gemma-2-2b-it"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SHARED = 32  # tokens that all prompts begin with, from which on it is worth to keep what the LLM made of them


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """model: a hub id, a folder, or a .gguf file. temperature: 0 takes the likeliest token."""

    model: str = GEMMA2
    dtype: str = "bf16"
    device: str = ""  # "": the best there is
    batch_size: int = 8
    edits: int = 4  # asked for in one call
    temperature: float = 0.0
    max_tokens: int = 512  # of an answer
    prompts: str = "default"  # see prompts/__init__.py

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"dtype is {self.dtype!r}: choose {', '.join(DTYPES)}.")
        for name, least in (("batch_size", 1), ("edits", 1), ("max_tokens", 1), ("temperature", 0)):
            if not getattr(self, name) >= least:
                raise UserError(f"{name} is {getattr(self, name)}: give a number from {least} up.")


FREE = frozenset(("device", "batch_size"))  # see connection.FREE


class LocalWriter:
    """See writer.Writer. In float32 an answer does not depend on the batch that it was given in; in less, rounding may
    choose another word now and then.

    UserError: the model cannot be loaded, no such prompt.
    """

    def __init__(self, config: LocalConfig, seed: int = 0):
        self.config, self.seed, self.model = config, seed, config.model
        self.name = "gguf" if config.model.endswith(".gguf") else "transformers"
        self.prompts = load_prompts(config.prompts)
        self.prompt = version(self.prompts)
        self.llm = LanguageModel.load(config.model, config.dtype, config.device)

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        numbered = iter(captions)
        while batch := list(islice(numbered, self.config.batch_size)):
            asked = [question(caption, mode, self.config.edits) for _, caption in batch]
            some = [place for place, text in enumerate(asked) if text]
            completions = self.llm.complete(
                [self.llm.render(self.prompts[mode].messages(asked[place])) for place in some],
                [key(self.seed, batch[place][1].id) for place in some], self.config.max_tokens, self.config.temperature,
            )  # fmt: skip
            answers = dict(zip(some, completions, strict=True))
            for place, (row, caption) in enumerate(batch):
                yield self._written(row, caption, answers.get(place), mode)

    def _written(self, row: int, caption: Caption, answer: Completion | None, mode: Mode) -> Written:
        if answer is None:
            return Written(row, error="the caption has no text")
        try:
            edits, error = parse(answer.text, mode, caption, self.config.edits), ""
        except InvalidAnswer as fault:
            edits, error = (), f"no valid answer: {fault}"
        return Written(row, edits, error, 1, answer.tokens_in, answer.tokens_out)


@dataclass(frozen=True)
class Completion:
    text: str
    tokens_in: int
    tokens_out: int


class LanguageModel:
    """A causal LM and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any):
        self.model, self.tokenizer = model.eval(), tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.kept: tuple[list[int], Any] = ([], None)  # tokens, and the LLM's keys and values of them

    @classmethod
    def load(cls, name: str, dtype: str = "fp32", device: str = "") -> LanguageModel:
        """name: a hub id, a folder, or a .gguf file. UserError: it cannot be loaded."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        path, options = Path(name), dict[str, Any]()
        if path.suffix == ".gguf":
            if not path.is_file():
                raise UserError(f"{name}: there is no such file.")
            name, options = str(path.parent), {"gguf_file": path.name}
        device = device or (torch.accelerator.current_accelerator() or torch.device("cpu")).type
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            model, info = AutoModelForCausalLM.from_pretrained(
                name, dtype=DTYPES[dtype], output_loading_info=True, **options
            )
        except ImportError as error:
            said = first_line(error).rstrip(".")
            raise UserError(f"{path}: {said}. To install what it needs: pip install 'uip2p[llm]'.") from None
        except Exception as error:  # of transformers, tokenizers, gguf, the hub's client and the system
            raise UserError(
                f"{path}: cannot be loaded as a language model ({first_line(error)}). Give a hub id such as {GEMMA2} "
                "(its owner may want you to accept a licence and log in: hf auth login), a folder, or a .gguf file."
            ) from error
        if missing := sorted(info["missing_keys"]):  # which transformers fills with noise
            raise UserError(f"{path}: {len(missing)} weights are not in it, such as {missing[0]}. Copy it again.")
        return cls(model.to(device), tokenizer)

    def render(self, messages: Messages) -> str:
        """The prompt's text, by the tokenizer's chat template. Gemma's has no system role, and some leave it out
        without a word: there the rules are told in the first question. Without a template: questions and answers."""
        if not self.tokenizer.chat_template:
            names = {"system": "{}\n\n", "user": "Question: {}\n", "assistant": "Answer: {}\n\n"}
            return "".join(names[part["role"]].format(part["content"]) for part in messages) + "Answer:"
        from jinja2 import TemplateError

        try:
            text = self._template(messages)
        except TemplateError:
            text = ""
        if messages[0]["content"].strip() in text:
            return text
        first, second, *others = messages
        told = {"role": "user", "content": f"{first['content']}\n\n{second['content']}"}
        return self._template([told, *others])

    def _template(self, messages: Messages) -> str:
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    @torch.inference_mode()
    def complete(
        self, prompts: Sequence[str], seeds: Sequence[int], max_tokens: int, temperature: float = 0.0
    ) -> list[Completion]:
        """What follows each prompt, up to `max_tokens`. seeds: of each prompt, for a temperature above 0."""
        if not prompts:
            return []
        special = not self.tokenizer.chat_template  # a template writes the first token itself
        tokens = [self.tokenizer(prompt, add_special_tokens=special)["input_ids"] for prompt in prompts]
        shared, cache = self._shared(tokens, max_tokens)
        longest, pad, device = max(map(len, tokens)), self.tokenizer.pad_token_id, self.model.device
        # The padding comes after what is shared, whose keys and values lie at its beginning.
        padded = [row[:shared] + [pad] * (longest - len(row)) + row[shared:] for row in tokens]
        seen = [[1] * shared + [0] * (longest - len(row)) + [1] * (len(row) - shared) for row in tokens]
        chosen = [_Sampling(seeds, temperature)] if temperature else []
        made = self.model.generate(
            input_ids=torch.tensor(padded, device=device), attention_mask=torch.tensor(seen, device=device),
            past_key_values=cache, max_new_tokens=max_tokens, do_sample=False, logits_processor=chosen,
            pad_token_id=pad, temperature=None, top_p=None, top_k=None,
        )  # fmt: skip
        completions = []
        for row, out in zip(tokens, made[:, longest:].tolist(), strict=True):
            ends = [place for place, token in enumerate(out) if token in self._ends]
            out = out[: ends[0] + 1] if ends else out
            completions.append(Completion(self.tokenizer.decode(out, skip_special_tokens=True), len(row), len(out)))
        return completions

    @property
    def _ends(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        return {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}

    def _shared(self, tokens: list[list[int]], max_tokens: int) -> tuple[int, Any]:
        """How many tokens all prompts begin with, and the LLM's keys and values of them, for each prompt its own. Rules
        and examples are most of a prompt: they are read once, not once a caption. (Not where layers look only so far
        that some of it falls out of their sight: the padding would push it out sooner.)"""
        window = getattr(self.model.config, "sliding_window", None)
        if window is not None and max(map(len, tokens)) + max_tokens > window:
            return 0, None
        known, cache = self.kept
        if not known or any(row[: len(known)] != known or len(row) <= len(known) for row in tokens):
            first, last = min(tokens), max(tokens)
            count = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
            known = first[: min(map(len, tokens)) - 1] if count is None else first[:count]
            if len(tokens) < 2 or len(known) < SHARED:
                return 0, None
            ids = torch.tensor([known], device=self.model.device)
            cache = self.model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            self.kept = known, cache
        own = deepcopy(cache)
        own.batch_repeat_interleave(len(tokens))
        return len(known), own


class _Sampling:
    """Sampling as an argument: the greedy choice among logits / temperature + Gumbel noise is a draw from their softmax
    (the Gumbel-max trick), and the noise of a row is a function of its own seed, whatever stands beside it."""

    def __init__(self, seeds: Sequence[int], temperature: float):
        self.draws = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.stack([torch.rand(scores.shape[1], generator=draw) for draw in self.draws])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self.temperature + gumbel.to(scores.device)
