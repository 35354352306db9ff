"""Scores of edits by a vision language model: each question is asked once in the life of a journal, and goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.judge.prompts import load_prompts
from uip2p.evaluate.judge.scores import read
from uip2p.evaluate.metrics import firm_product
from uip2p.evaluate.rows import append_rows, digest, read_rows
from uip2p.instructions.calls import Answered, Asked, ask_all
from uip2p.instructions.connection import Budget, Connection, Question
from uip2p.instructions.endpoint_config import ChatConfig

Read = tuple[dict[str, float], str]  # aspect → score in [0, 1], and the reasoning
FINAL = ("", "refused")  # faults of what is not asked again
KIND = "scores"  # of the journals: scores.jsonl, scores.0-of-2.jsonl, …


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(ChatConfig):
    """manner: whose questions, see prompts/. quality: ask how real the output looks too, a second call. samples:
    answers to each question, whose mean counts. picture_size: longest side in pixels that is sent; a smaller picture is
    sent as it is. picture_tokens: the most that the provider counts for one picture, for `max_cost`."""

    temperature: float = 0.0
    manner: str = "gedit"
    quality: bool = False
    samples: int = 1
    picture_size: int = 768
    picture_tokens: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("samples", 1), ("picture_size", 16), ("picture_tokens", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: give a number from {least} up.")
        if self.samples > 1 and self.temperature == 0:
            raise UserError(f"{self.samples} answers at temperature 0 are one answer: set a temperature above 0 too.")


@dataclass(frozen=True)
class Edit:
    """What is judged. turn: its name, for the lists. source, output: RGB, of any size. kind: of edit, "" if unknown."""

    turn: str
    instruction: str
    source: Image.Image
    output: Image.Image
    kind: str = ""


@dataclass(frozen=True)
class _Wanted:
    """An answer that is wanted: of which edit, to which prompt. key: of all that it depends on. pictures: as sent."""

    edit: int
    about: str
    key: str
    asked: dict[str, str]
    pictures: dict[str, Image.Image]


class Judge:
    """config: how it is asked. folder: of the journals of its answers, all of which are read; None: they are forgotten.
    journal: the one that this process writes. Caps on calls and cost hold over all that the folder's journals hold.
    UserError: no key where one is needed, no such prompts."""

    def __init__(self, config: JudgeConfig, folder: Path | None = None, journal: str = f"{KIND}.jsonl"):
        self.config, self.folder, self.journal = config, folder, journal
        prompts = load_prompts(config.manner)
        if config.quality and "quality" not in prompts:
            raise UserError(f"{config.manner}: has no table [quality], which was asked for.")
        self.prompts = {name: prompts[name] for name in ("edit", "quality") if name == "edit" or config.quality}
        self.known: dict[str, dict[str, Any]] = {}
        lines = [line for path in self._journals() for line in read_rows(path).values()]
        self.known = {line["question"]: line for line in lines if line["fault"] in FINAL}
        self.failed = {line["question"]: line for line in lines if line["fault"] not in FINAL}
        spent = (sum(line[name] for line in lines) for name in ("calls", "tokens_in", "tokens_out"))
        self.connection = Connection(config, Budget(config, *spent))

    def describe(self) -> dict[str, Any]:
        """All that a score depends on beside the pictures and the instruction, ready for JSON."""
        config = self.config
        return {
            "model": config.model, "manner": Path(config.manner).stem, "prompt": self.prompts["edit"].version,
            "temperature": config.temperature, "max_tokens": config.max_tokens, "samples": config.samples,
            "picture_size": config.picture_size, "quality": config.quality,
        }  # fmt: skip

    def figures(self, edits: Sequence[Edit]) -> list[dict[str, float]]:
        """Of each edit, all in [0, 1], 1 is best: execution, consistency, firm (metrics.firm_product of both), and
        quality (its worst aspect, as VIEScore has it) if asked for. An aspect that no answer gives is left out, and so
        is what is made of it. answered: the share of the answers that could be read, always there. UserError: as
        `calls.ask_all`; what was answered before is in the journal."""
        wanted = [item for place, edit in enumerate(edits) for item in self._wanted(place, edit)]
        self._ask(edits, wanted)
        return [self._figures([item for item in wanted if item.edit == place]) for place in range(len(edits))]

    def why_not(self, edit: Edit) -> list[str]:
        """What stands in the way of the answers about an edit that are missing."""
        found = (self.known.get(item.key) or self.failed.get(item.key) for item in self._wanted(0, edit))
        return [line["error"] for line in found if line and line["fault"]]

    def _wanted(self, place: int, edit: Edit) -> Iterator[_Wanted]:
        both = {"input": edit.source, "output": edit.output}
        pictures = {name: fit(picture, self.config.picture_size) for name, picture in both.items()}
        hashes = {name: _hash(picture) for name, picture in pictures.items()}
        for about, prompt in self.prompts.items():
            asked = prompt.asked(edit.instruction, edit.kind)
            key = {
                "model": self.config.model, "prompt": prompt.version, "about": about, "asked": asked,
                "pictures": [hashes[name] for name in prompt.pictures],
                "temperature": self.config.temperature, "max_tokens": self.config.max_tokens,
            }  # fmt: skip
            for sample in range(self.config.samples):
                yield _Wanted(place, about, digest({**key, "sample": sample}), asked, pictures)

    def _ask(self, edits: Sequence[Edit], wanted: Sequence[_Wanted]) -> None:
        """Into `known` and `failed`, and into the journal as each comes. What failed is asked again when it is wanted
        again; a refusal is an answer."""
        todo = {item.key: item for item in wanted if item.key not in self.known}
        asked = (
            Asked(item, item.key, self._question(item.about, item.asked, item.pictures), self._reader(item.about))
            for item in todo.values()
        )
        for answered in ask_all(self.connection, self._example(), asked):
            line = self._line(edits[answered.tag.edit], answered)
            (self.known if line["fault"] in FINAL else self.failed)[line["question"]] = line
            if self.folder is not None:
                append_rows(self.folder / self.journal, [line])

    def _question(self, about: str, asked: Mapping[str, str], pictures: Mapping[str, Image.Image]) -> Question:
        return self.prompts[about].question(asked, pictures, self.config.picture_tokens)

    def _reader(self, about: str) -> Callable[[str], Read]:
        prompt = self.prompts[about]

        def reader(text: str) -> Read:
            scores, reasoning = read(text, prompt.aspects, (prompt.scale[0], prompt.scale[1]))
            return {aspect: prompt.share(score) for aspect, score in scores.items()}, reasoning

        return reader

    @staticmethod
    def _line(edit: Edit, answered: Answered[Read]) -> dict[str, Any]:
        """Of the journal. Its key is the question's; a failure has one of its own, since it has been paid for too, and
        the question will be asked again."""
        scores, reasoning = answered.value or ({}, "")
        question, spent = answered.tag.key, (answered.calls, answered.tokens_in, answered.tokens_out)
        about = {"about": answered.tag.about, "turn": edit.turn, "instruction": edit.instruction}
        line = {
            "question": question, **about, "scores": scores, "reasoning": reasoning, "fault": answered.fault,
            "error": answered.error, **dict(zip(("calls", "tokens_in", "tokens_out"), spent, strict=True)),
        }  # fmt: skip
        final = answered.fault in FINAL
        return {"key": question if final else digest({**line, "at": time.time_ns()}), **line}

    def _figures(self, items: Sequence[_Wanted]) -> dict[str, float]:
        lines = [(item.about, self.known[item.key]["scores"]) for item in items if item.key in self.known]
        read = [(about, scores) for about, scores in lines if scores]
        figures = {"answered": len(read) / len(items)}
        of_edit = [scores for about, scores in read if about == "edit"]
        if of_edit:
            aspects = self.prompts["edit"].aspects
            means = {name: float(np.mean([scores[name] for scores in of_edit])) for name in aspects}
            parts = (torch.tensor([means[name]], dtype=torch.float64) for name in ("execution", "consistency"))
            figures |= {**means, "firm": firm_product(*parts).item()}
        of_quality = [min(scores.values()) for about, scores in read if about == "quality"]
        if of_quality:
            figures["quality"] = float(np.mean(of_quality))
        return figures

    def _example(self) -> Question:
        """Which the server's abilities are learned from: grey made red."""
        pictures = {name: Image.new("RGB", (64, 64), color) for name, color in (("input", "gray"), ("output", "red"))}
        return self._question("edit", self.prompts["edit"].asked("make it red", ""), pictures)

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob(f"{KIND}*.jsonl")) if self.folder is not None else []


def fit(picture: Image.Image, size: int) -> Image.Image:
    """RGB, its longest side at most `size`, in its proportions; a smaller one as it is."""
    picture = picture.convert("RGB")
    scale = size / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _hash(picture: Image.Image) -> str:
    """Of the pixels: another file of the same picture is the same."""
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()
