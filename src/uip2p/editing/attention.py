"""Where an edit looked, word by word: the UNet's cross-attention, gathered into one map for each word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from uip2p.errors import UserError
from uip2p.images import grid
from uip2p.models.attention import is_tappable
from uip2p.models.parts import Parts


@dataclass(frozen=True, slots=True, eq=False)
class WordMap:
    """Where one word of the instruction was looked at.

    map: float32 [h, w], 0 to 1, the finest grid on which the UNet attends, in the proportions of the working size.
    A position's weights of all tokens, start and padding included, sum to 1; this is what the word's own tokens have
    of it: softmax over tokens of the cross-attention in e(I, T), the branch that sees picture and text, mean over
    heads, layers and denoising steps, sum over the word's tokens. As it is, not stretched for showing: `shown` does.
    """

    word: str
    map: np.ndarray


class Watch:
    """What a batch looks at, gathered over its denoising steps: given to `sample` as `on_attention`."""

    def __init__(self) -> None:
        self.steps = 0
        self.total: Tensor | float = 0.0

    def __call__(self, weights: Tensor) -> None:
        """weights [B, T, h, w], of one step."""
        self.steps, self.total = self.steps + 1, self.total + weights

    def word_maps(self, texts: Sequence[str], tokenizer: Any) -> list[tuple[WordMap, ...]]:
        """One tuple a text, a map a word, in the order of the words."""
        assert isinstance(self.total, Tensor)
        mean = self.total / self.steps
        return [
            tuple(WordMap(word, of_text[tokens].sum(dim=0).cpu().numpy()) for word, tokens in words(text, tokenizer))
            for text, of_text in zip(texts, mean, strict=True)
        ]


def check_readable(parts: Parts) -> None:
    """UserError: a model whose attention cannot be read."""
    if is_tappable(parts.unet):
        return
    if parts.loaded.get("attention_slicing"):
        why, what = "attention slicing hides it", "load the model without that"
    else:
        why, what = "an ONNX or OpenVINO model has no layers to look into", "load the model that it was exported from"
    raise UserError(f"{parts.name}: where it looks cannot be read: {why}. Leave out attention, or {what}.")


# ---- words and tokens ------------------------------------------------------------------------------


def words(text: str, tokenizer: Any) -> list[tuple[str, list[int]]]:
    """Each word of a text and the positions of its tokens, the start token's being 0.

    Words are what white space separates, without the punctuation around them; that belongs to no word. tokenizer: a
    fast one, which tells where its tokens come from.
    """
    tokens = tokenizer(text, return_offsets_mapping=True).offset_mapping
    found = []
    for start, end in spans(text):
        own = [index for index, (first, last) in enumerate(tokens) if max(first, start) < min(last, end)]
        found.append((text[start:end], own))
    return found


def spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end."""
    found = []
    for match in re.finditer(r"\S+", text):
        inside = [index for index in range(*match.span()) if unicodedata.category(text[index])[0] not in "PS"]
        if inside:
            found.append((inside[0], inside[-1] + 1))
    return found


# ---- showing -------------------------------------------------------------------------------------

LEAST_RANGE = 0.5  # of a map's mean: one that varies by less is not stretched to look as if it did
SHEET_SIDE = 256  # pixels


def shown(map: np.ndarray) -> np.ndarray:
    """A word's map, any range -> [0, 1] for showing: from its lowest value, 0, to its highest, 1.

    Each word in its own range: most of a position's weight goes to the start token and the padding, and "the" and
    "car" differ by a factor of ten everywhere. A map that hardly varies stays below 1 (LEAST_RANGE).
    """
    low, span = map.min(), map.max() - map.min()
    return (map - low) / max(span, LEAST_RANGE * map.mean(), 1e-12)


def overlay(picture: Image.Image, word_map: WordMap) -> Image.Image:
    """The picture (PIL RGB, any size), grey and dimmed, and over it the word's map as heat: black, violet, orange,
    yellow (inferno, which grows lighter throughout, so that it reads without colours too). Same size."""
    from matplotlib import colormaps

    coarse = Image.fromarray(shown(word_map.map).astype(np.float32))
    looked = np.asarray(coarse.resize(picture.size, Image.Resampling.BICUBIC)).clip(0, 1)
    heat = colormaps["inferno"]((looked * 255).round().astype(np.uint8), bytes=True)[..., :3]
    grey = np.asarray(picture.convert("L"))[..., None]
    return Image.fromarray((0.4 * grey + 0.6 * heat).round().astype(np.uint8))


def sheet(before: Image.Image, after: Image.Image, maps: Sequence[WordMap]) -> Image.Image:
    """A contact sheet: the result, and an overlay of the picture before for each word, under it the word and the most
    that it has of a position's weight: the heat does not tell, as each word's is in its own range."""
    before, after = fit(before), fit(after)
    cells = [after, *(overlay(before, one) for one in maps)]
    labels = ["result", *(f"{one.word} · {one.map.max():.1%}" for one in maps)]
    return grid([np.asarray(cell) for cell in cells], min(len(cells), 5), labels)


def fit(picture: Image.Image) -> Image.Image:
    """The longer side SHEET_SIDE pixels."""
    scale = SHEET_SIDE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)
