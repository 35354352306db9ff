"""The figures of one output: metrics.py with the encoders and the preprocessing that a protocol asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from uip2p.evaluate import metrics
from uip2p.evaluate.encoders import ClipEncoder, DinoEncoder, Remembered, content, unit_tensor
from uip2p.evaluate.perceptual import Lpips
from uip2p.evaluate.runs import NOT_MEASURED

FORMULAS = 1  # to be raised when a figure changes its meaning: outputs that were measured otherwise are measured again

PIXELS = ("l1", "l2", "psnr", "ssim")
CLIP = ("clip_i", "clip_t", "direction", "clip_source")
REGIONS = ("inside", "outside")
FIGURES = (*PIXELS, "lpips", *CLIP, "dino", *REGIONS)
DEFAULT = tuple(figure for figure in FIGURES if figure != "lpips")  # its weights have to be given

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """One output beside what it is held against, all RGB. source: what the change is measured from. target: None where
    nobody knows the answer. mask: bool [H, W] of the target's size. caption, edited_caption: "" where there is none."""

    key: str
    output: Image.Image
    source: Image.Image
    target: Image.Image | None = None
    mask: np.ndarray | None = None
    caption: str = ""
    edited_caption: str = ""


class Meter(Protocol):
    def describe(self) -> dict[str, Any]:
        """Figure → what it was computed with: backbone and its fingerprint, resize, crop, range, caption source. Part
        of the result, and of the key of every row."""
        ...

    def measure(self, judged: Sequence[Judged]) -> list[dict[str, float]]:
        """The figures of each; one that is not defined for an output (no target, no mask, no caption) is left out.
        ValueError, naming the key, for pictures out of range. Batches change the speed, never a figure."""
        ...


class StandardMeter:
    """The figures that are asked for, each where it is defined.

    figure       what it is                                             needs
    l1, l2       mean |·| and mean (·)² of output − target              target
    psnr, ssim   of output and target; psnr not where they are equal    target
    lpips        learned distance of output and target                  target, `lpips`
    clip_i       cos(E(output), E(target))                              target, `clip`
    clip_source  cos(E(output), E(source)): the y of IP2P's curve       `clip`
    clip_t       cos(E(output), E(edited caption))                      edited caption, `clip`
    direction    cos(E(output) − E(source), E(T_ed) − E(T_in))          both captions, `clip`
    dino         cos of DINO's embeddings of output and target          target, `dino`
    inside       error inside the mask, over that of doing nothing      target, mask; not where nothing was to be done
    outside      mean change outside the mask                           mask; not where it covers all

    Pixels are compared at the target's size (the source's, where there is no target): output and source are resized by
    PIL's default, bicubic, as MagicBrush does. Encoders are given every picture as it is and resize it themselves.
    psnr of equal pictures is infinite, no number for JSON or a mean: it is left out, and a mean is that of the rest.
    captions: whose they are, for `describe`. ValueError: a figure without its encoder."""

    def __init__(
        self,
        figures: Sequence[str] = DEFAULT,
        captions: str = "",
        clip: ClipEncoder | None = None,
        dino: DinoEncoder | None = None,
        lpips: Lpips | None = None,
        device: str | torch.device = "cpu",
    ):
        encoders = {**dict.fromkeys(CLIP, clip), "dino": dino, "lpips": lpips}
        for figure in figures:
            if figure not in FIGURES or (figure in encoders and encoders[figure] is None):
                raise ValueError(f"{figure}: no such figure, or its encoder is not given")
        self.figures = tuple(figure for figure in FIGURES if figure in figures)
        self.captions, self.clip, self.dino, self.lpips, self.device = captions, clip, dino, lpips, device
        self.clip_pictures = Remembered(clip.embed_pictures, content) if clip else None
        self.clip_texts = Remembered(clip.embed_texts, str) if clip else None
        self.dino_pictures = Remembered(dino.embed_pictures, content) if dino else None

    def describe(self) -> dict[str, Any]:
        """Figure → what it is computed with; "not measured": figure → why; "formulas": their version."""
        pixels = {"range": "[0, 1]", "resize": "to the target's size (else the source's), bicubic, PIL, 8 bit"}
        known = dict.fromkeys((*PIXELS, *REGIONS), pixels)
        known["psnr"] = pixels | {"equal pictures": "left out (infinite)"}
        if self.clip:
            known |= dict.fromkeys(CLIP, self.clip.describe())
            known |= {name: known[name] | {"captions": self.captions} for name in ("clip_t", "direction")}
        if self.dino:
            known["dino"] = self.dino.describe()
        if self.lpips:
            known["lpips"] = self.lpips.describe()
        missing = {name: "not asked for" for name in FIGURES if name not in self.figures}
        if "lpips" in missing and not self.lpips:
            missing["lpips"] = "no weights given (--lpips FILE)"
        return {name: known[name] for name in self.figures} | {NOT_MEASURED: missing, "formulas": FORMULAS}

    def measure(self, judged: Sequence[Judged]) -> list[Figures]:
        for one in judged:
            _check(one)
        found = [self._pixels(one) for one in judged]
        for figures in (self._lpips(judged), self._clip(judged), self._dino(judged)):
            for known, new in zip(found, figures, strict=True):
                known.update(new)
        return [{name: known[name] for name in self.figures if name in known} for known in found]

    def _wants(self, *figures: str) -> bool:
        return any(figure in self.figures for figure in figures)

    def _pixels(self, one: Judged) -> Figures:
        """PIXELS and REGIONS."""
        if not self._wants(*PIXELS, *REGIONS):
            return {}
        output, source = self._batch(one, one.output), self._batch(one, one.source)
        found: Figures = {}
        if one.target is not None:
            target = self._batch(one, one.target)
            for name in PIXELS:
                if self._wants(name):
                    found[name] = _named(one, getattr(metrics, name), output, target)
            if found.get("psnr") == math.inf:
                del found["psnr"]
        if one.mask is None:
            return found
        mask = torch.from_numpy(np.ascontiguousarray(one.mask, dtype=bool))[None].to(self.device)
        if one.target is not None and self._wants("inside") and metrics.absolute_sum(source, target, mask).item():
            found["inside"] = _named(one, metrics.inside_error, output, target, source, mask)
        if self._wants("outside") and not one.mask.all():
            found["outside"] = _named(one, metrics.outside_error, output, source, mask)
        return found

    def _batch(self, one: Judged, picture: Image.Image) -> Tensor:
        """PIL → [1, 3, H, W] in [0, 1] at the size that pixels are compared at."""
        return unit_tensor(_at_size(picture, one)).to(self.device)[None]

    def _lpips(self, judged: Sequence[Judged]) -> list[Figures]:
        pairs = [(_at_size(one.output, one), one.target) for one in judged if one.target is not None]
        if not self.lpips or not self._wants("lpips") or not pairs:
            return [{} for _ in judged]
        outputs, targets = zip(*pairs, strict=True)
        found = iter(self.lpips.distances(outputs, targets))
        return [{} if one.target is None else {"lpips": next(found)} for one in judged]

    def _clip(self, judged: Sequence[Judged]) -> list[Figures]:
        found: list[Figures] = [{} for _ in judged]
        if not self.clip_pictures or not self.clip_texts or not self._wants(*CLIP):
            return found
        sources = self.clip_pictures([one.source for one in judged])
        targets = iter(self.clip_pictures([one.target for one in judged if one.target is not None]))
        outputs = self.clip_pictures([one.output for one in judged], keep=False)
        captions = iter(self.clip_texts([one.caption for one in judged if one.caption]))
        edited = iter(self.clip_texts([one.edited_caption for one in judged if one.edited_caption]))
        for figures, one, output, source in zip(found, judged, outputs, sources, strict=True):
            figures["clip_source"] = _named(one, metrics.clip_image_similarity, output, source)
            caption = next(captions) if one.caption else None
            edited_caption = next(edited) if one.edited_caption else None
            if one.target is not None:
                figures["clip_i"] = _named(one, metrics.clip_image_similarity, output, next(targets))
            if edited_caption is not None:
                figures["clip_t"] = _named(one, metrics.clip_text_similarity, output, edited_caption)
                if caption is not None:
                    figures["direction"] = _named(one, metrics.clip_direction, output, source, edited_caption, caption)
        return found

    def _dino(self, judged: Sequence[Judged]) -> list[Figures]:
        pairs = [(one.output, one.target) for one in judged if one.target is not None]
        if not self.dino_pictures or not self._wants("dino") or not pairs:
            return [{} for _ in judged]
        targets = iter(self.dino_pictures([target for _, target in pairs]))
        outputs = iter(self.dino_pictures([output for output, _ in pairs], keep=False))
        return [
            {} if one.target is None else {"dino": _named(one, metrics.dino, next(outputs), next(targets))}
            for one in judged
        ]


def _at_size(picture: Image.Image, one: Judged) -> Image.Image:
    size = (one.target or one.source).size
    return picture if picture.size == size else picture.resize(size)


def _check(one: Judged) -> None:
    """ValueError, naming the key: what the pictures' mode or the mask's shape makes meaningless."""
    for name in ("output", "source", "target"):
        picture = getattr(one, name)
        if picture is not None and picture.mode != "RGB":
            raise ValueError(f"{one.key}: the {name} is {picture.mode}, not RGB")
    width, height = (one.target or one.source).size
    if one.mask is not None and (one.mask.shape != (height, width) or one.mask.dtype != bool):
        raise ValueError(f"{one.key}: the mask is {one.mask.dtype} {one.mask.shape}, not bool ({height}, {width})")


def _named(one: Judged, metric: Callable[..., Tensor], *batches: Tensor) -> float:
    """A metric of one sample; whatever is wrong with its values is said with its key."""
    try:
        return float(metric(*batches))
    except ValueError as error:
        raise ValueError(f"{one.key}: {error}") from error
