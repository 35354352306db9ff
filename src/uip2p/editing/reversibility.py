"""Has an edit worked? Its own reverse tells, without any answer to compare with.

UIP2P learns by undoing its own edits, so it can be asked to undo one at inference too. An edit that comes back and
moved the picture the way the words moved has probably worked; of several candidates, the best of these is kept.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from uip2p.editing.instructions import check_instruction
from uip2p.errors import UserError
from uip2p.images import to_tensor
from uip2p.learning.losses import direction_loss, root_mean_square
from uip2p.models.clip import Clip, load_clip
from uip2p.models.folder import ASSETS, SHIPPED
from uip2p.models.parts import Parts
from uip2p.scenes.reverse import Question, readings, reverse_of, tell

if TYPE_CHECKING:
    from uip2p.editing.editor import Edited, Editor

Encoder = str | Path | Clip | None  # a CLIPModel folder or hub id, one that is loaded, or the model's own


@dataclass(frozen=True, slots=True)
class Words:
    """What is known of one edit beside its instruction, None for what is not.

    reverse: the instruction that undoes it. caption, edited_caption: of the picture before and after (T_in, T_ed).
    """

    reverse: str | None = None
    caption: str | None = None
    edited_caption: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What the reverse of an edit says of it.

    reversibility: 0 to 1, see `reversibility`. direction: −1 to 1, see `Told`. score: 0 to 1, direction (0 where it is
    negative) · reversibility. likely_failed: the score is below the model's `likely_failed_below`; None if that is
    not calibrated. caption, edited_caption: the texts of the direction. guessed: what no words told -> what the encoder
    saw. reversed: the edit after its reverse, PIL RGB, the size of the source.
    """

    seed: int
    reversibility: float
    direction: float
    score: float
    likely_failed: bool | None
    reverse_instruction: str
    caption: str
    edited_caption: str
    guessed: dict[str, str]
    reversed: Image.Image


@dataclass(frozen=True, slots=True)
class Told:
    """All the words of one check, nothing missing.

    direction = cos(E(I_e) − E(I_in), E(after) − E(before)) with the captions before and after; for an instruction
    whose captions nobody knows, the reverse instruction and the instruction stand for them.
    """

    reverse: str
    before: str
    after: str
    guessed: dict[str, str] = field(default_factory=dict)


def reversibility(source: Tensor, edited: Tensor, reversed_: Tensor) -> Tensor:
    """‖I_in − I_e‖₂ / (‖I_in − I_e‖₂ + ‖I_in − I_r‖₂): how far the edit went, beside what its reverse left.

    Pictures [B, 3, H, W] in [-1, 1] -> [B] in [0, 1]. 1: the input came back. ½: it came no nearer, as when the edit
    destroyed it, or when nothing moved but what the autoencoder moves, which no reverse undoes. Below: the reverse led
    further away. Relative to the edit on purpose: by ‖I_in − I_r‖₂ alone, which training minimises, a copy is perfect.
    """
    went, left = (root_mean_square((source - other).flatten(1)) for other in (edited, reversed_))
    return went / (went + left)


def check_words(instruction: str, words: Words, parts: Parts) -> None:
    """UserError: a reverse the model cannot read, none where none can be worked out, half a pair of captions."""
    if words.reverse is not None:
        check_instruction(words.reverse, parts)
    elif not readings(instruction):
        reverse_of(instruction)  # says why not, and what to do
    if words.edited_caption is not None and words.caption is None:
        raise UserError("an edited caption tells a direction only beside the caption: give --caption (`caption=`) too.")


@torch.no_grad()
def complete(clip: Clip, picture: Tensor, instruction: str, words: Words) -> Told:
    """All words of a check, from those that are given, the world's grammar, and the encoder's guesses.

    picture [3, H, W] in [-1, 1], before the edit.
    """
    seen = functools.cache(lambda: clip.embed_images(picture[None].to(clip.mean.device))[0])

    def guess(question: Question) -> str:
        """Zero-shot: the answer whose caption is nearest to the picture, argmax cos(E(I_in), E(T))."""
        similarity = clip.embed_texts([tell(option) for option in question.options.values()]) @ seen()
        return list(question.options)[int(similarity.argmax())]

    given = words.caption and words.edited_caption
    if words.reverse and (given or not readings(instruction)):
        before, after = (words.caption, words.edited_caption) if given else (words.reverse, instruction)
        return Told(words.reverse, before or "", after or "")
    plan = reverse_of(instruction, words.caption, guess)
    before, after = (words.caption, words.edited_caption) if given else (tell(plan.before), tell(plan.after))
    return Told(words.reverse or plan.reverse_instruction, before or "", after or "", plan.guessed)


def edit_checked(
    editor: Editor, pictures: Sequence[Image.Image], texts: Sequence[str], seeds: Sequence[int],
    words: Sequence[Words], *, best_of: int, clip: Encoder, batch_size: int,
    progress: Callable[[int], Any] | None, **options: Any,
) -> list[Edited]:  # fmt: skip
    """The best of each picture's candidates, as `Editor.edit` returns it, with `check` and `candidates`."""
    if isinstance(best_of, bool) or not isinstance(best_of, int) or not 1 <= best_of <= 64:
        raise UserError(f"best of {best_of!r}: give a whole number from 1 to 64.")
    for text, said in zip(texts, words, strict=True):
        check_words(text, said, editor.parts)
    encoder, results = load_encoder(clip, editor), list[Any]()
    step = max(1, batch_size // best_of)
    for start in range(0, len(pictures), step):
        began, part = time.perf_counter(), slice(start, start + step)
        found = candidates(
            editor, encoder, pictures[part], texts[part], seeds[part], words[part], best_of=best_of, **options
        )
        seconds = (time.perf_counter() - began) / len(found)
        results += [replace(best(several), seconds=seconds) for several in found]
        if progress:
            progress(len(found))
    return results


@torch.no_grad()
def candidates(
    editor: Editor, clip: Clip, pictures: Sequence[Image.Image], texts: Sequence[str], seeds: Sequence[int],
    words: Sequence[Words], *, best_of: int = 1, **options: Any,
) -> list[list[Edited]]:  # fmt: skip
    """`best_of` checked edits of each picture, of seeds seed, seed + 1, …; all edits in one batch, all reverses in one.

    options: those of `Editor.edit` that make a picture; where a reverse looks is not read. The reverse of a candidate
    has the candidate's own seed, so that it is what `Editor.edit(edited, reverse, seed=…)` gives.
    """
    if not pictures:
        return []
    sources = [to_tensor(picture) for picture in pictures]
    told = [complete(clip, *each) for each in zip(sources, texts, words, strict=True)]

    def repeat(values: Sequence[Any]) -> list[Any]:
        return [value for value in values for _ in range(best_of)]

    options = {
        **options, "batch_size": best_of * len(pictures), "seed": [seed + k for seed in seeds for k in range(best_of)],
    }  # fmt: skip
    edited = editor.edit(repeat(pictures), repeat(texts), **options)
    reverses = repeat([said.reverse for said in told])
    undone = editor.edit([one.image for one in edited], reverses, **{**options, "attention": False})
    return [
        _checked(clip, picture, edited[i * best_of :][:best_of], undone[i * best_of :][:best_of], told[i],
                 editor.settings.likely_failed_below)
        for i, picture in enumerate(pictures)
    ]  # fmt: skip


def _checked(
    clip: Clip, picture: Image.Image, edited: Sequence[Edited], undone: Sequence[Edited], told: Told,
    likely_failed_below: float | None,
) -> list[Edited]:  # fmt: skip
    """The candidates of one picture with their checks, measured at the size that the model saw."""
    size = edited[0].working_size
    pictures = [picture, *(one.image for one in edited), *(one.image for one in undone)]
    tensors = torch.stack([to_tensor(p if p.size == size else p.resize(size, Image.Resampling.LANCZOS))
                           for p in pictures]).to(clip.mean.device)  # fmt: skip
    source, after, back = tensors[:1], tensors[1 : 1 + len(edited)], tensors[1 + len(edited) :]
    backs = reversibility(source, after, back).tolist()
    seen = clip.embed_images(tensors[: 1 + len(edited)])
    text_before, text_after = clip.embed_texts([told.before, told.after])
    directions = (1 - direction_loss(seen[1:], seen[:1], text_after[None], text_before[None])).tolist()
    checked = []
    for one, reverse, came_back, direction in zip(edited, undone, backs, directions, strict=True):
        score = max(direction, 0.0) * came_back
        failed = None if likely_failed_below is None else score < likely_failed_below
        check = Check(one.seed, came_back, direction, score, failed, told.reverse, told.before, told.after,
                      told.guessed, reverse.image)  # fmt: skip
        checked.append(replace(one, check=check))
    return checked


def best(several: Sequence[Edited]) -> Edited:
    """The candidate of the highest score (of the highest direction where all scores are 0), with all of their checks.

    One candidate is returned as it is.
    """
    checks = [check for one in several if (check := one.check)]
    if len(checks) < 2:
        return several[0]
    index = max(range(len(checks)), key=lambda i: (checks[i].score, checks[i].direction))
    return replace(several[index], candidates=tuple(checks))


# ---- the encoder ---------------------------------------------------------------------------------


def load_encoder(clip: Encoder, editor: Editor) -> Clip:
    """The encoder E, read once. None: the shipped loss encoder, for a shipped model. UserError: no such CLIP."""
    if isinstance(clip, Clip):
        return clip
    return _load(str(default_encoder(editor.parts.name) if clip is None else clip), str(editor.device))


@functools.lru_cache(maxsize=2)
def _load(folder: str, device: str) -> Clip:
    return load_clip(folder, device)


def default_encoder(model: str) -> Path:
    """The encoder that a shipped model learned with. UserError: a model that is not shipped says nothing of its own."""
    shipped = model in SHIPPED or Path(model).resolve() in SHIPPED.values()
    if not shipped or not (ASSETS / "clip").is_dir():
        raise UserError(
            f"a check needs an image and text encoder, and the model '{model}' names none: give a CLIPModel folder or "
            "hub id with --clip (`clip=`), best the one that its training used."
        )
    return ASSETS / "clip"
