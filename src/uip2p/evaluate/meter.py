"""The figures of one output: metrics.py with the encoders and the preprocessing that a protocol asks for."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from uip2p.editing.loading import pick_device
from uip2p.errors import UserError
from uip2p.evaluate import metrics
from uip2p.evaluate.encoders import (
    PREPROCESSING,
    ClipEncoder,
    DinoEncoder,
    Remembered,
    content,
    open_clip,
    open_dino,
    unit_tensor,
)
from uip2p.evaluate.perceptual import Lpips, open_lpips
from uip2p.evaluate.runs import NOT_MEASURED
from uip2p.models import hub

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


# ---- from the command line -------------------------------------------------------------------------


def add_arguments(group: Any) -> None:
    """Options of `build_meter`; what is not given is absent, and the suite's default holds."""
    add = group.add_argument
    suppressed: dict[str, Any] = {"default": argparse.SUPPRESS}
    add("--metrics", metavar="A,B,…", **suppressed,
        help=f"which figures, of {', '.join(FIGURES)} (default: the suite's, and lpips and dino where named)")
    add("--clip", metavar="ID|FOLDER", **suppressed,
        help=f"CLIP in transformers' layout, or 'mini', the shipped judge (default: the suite's, else {hub.CLIP_B})")
    add("--clip-preprocessing", choices=tuple(PREPROCESSING), **suppressed,
        help="openai: shortest edge and centre crop in PIL; stretch: to a square, antialiased; ip2p: to a square, not "
        "antialiased (default: the suite's, else openai)")
    add("--dino", metavar="ID|FOLDER", help=f"DINO as a transformers ViTModel (default: {hub.DINO})", **suppressed)
    add("--lpips", metavar="FILE", **suppressed,
        help="torchvision's AlexNet as .safetensors; without it lpips is not measured")
    add("--metrics-batch-size", type=int, metavar="N", **suppressed,
        help="pictures that an encoder is given at once; changes the speed, never a figure (default: 32)")


def build_meter(
    args: argparse.Namespace,
    captions: str,
    *,
    figures: Sequence[str] = DEFAULT,
    clip: str = hub.CLIP_B,
    preprocessing: str = "openai",
    quirk: bool = False,
) -> StandardMeter:
    """The meter of a run: a suite's defaults, over them what the command line says.

    figures, clip, preprocessing: the suite's. quirk: see `ClipEncoder`. On `args.device`, where there is one.
    UserError: an unknown figure, an option without its figure, weights that cannot be had, with the option that does
    without."""
    wanted = _figures(args, figures)
    device, batch_size = pick_device(getattr(args, "device", None)), getattr(args, "metrics_batch_size", 32)
    if batch_size < 1:
        raise UserError(f"--metrics-batch-size {batch_size}: starts at 1.")
    reference, how = getattr(args, "clip", clip), getattr(args, "clip_preprocessing", preprocessing)

    def opened(names: Sequence[str], opener: Callable[[], Any]) -> Any:
        if not set(names) & set(wanted):
            return None
        try:
            return opener()
        except UserError as error:
            rest = ",".join(name for name in wanted if name not in names)
            raise UserError(f"{error} To measure without {' and '.join(names)}: --metrics {rest or 'l1'}") from error

    return StandardMeter(
        wanted, captions,
        opened([name for name in CLIP if name in wanted], lambda: open_clip(reference, how, quirk, device, batch_size)),
        opened(["dino"], lambda: open_dino(getattr(args, "dino", hub.DINO), device, batch_size)),
        opened(["lpips"], lambda: open_lpips(_lpips_file(args), device, batch_size)),
        device,
    )  # fmt: skip


def _figures(args: argparse.Namespace, default: Sequence[str]) -> list[str]:
    """--metrics; else the suite's, and dino and lpips where their weights are named. Naming a CLIP adds nothing: some
    suites have their own figures of it."""
    if not hasattr(args, "metrics"):
        return [*default, *(name for name in ("dino", "lpips") if hasattr(args, name) and name not in default)]
    wanted = [name.strip() for name in args.metrics.split(",")]
    for name in wanted:
        if name not in FIGURES:
            raise UserError(f"--metrics {args.metrics}: there is no figure {name!r}: choose from {', '.join(FIGURES)}.")
    named = {"clip_preprocessing": CLIP, "dino": ("dino",), "lpips": ("lpips",)}
    for option, of in named.items():
        if hasattr(args, option) and not set(of) & set(wanted):
            raise UserError(f"--{option.replace('_', '-')}: --metrics asks for none of {', '.join(of)}. Leave one out.")
    return wanted


def _lpips_file(args: argparse.Namespace) -> str:
    if not hasattr(args, "lpips"):
        raise UserError("lpips needs torchvision's AlexNet: give its file, --lpips FILE.")
    return str(args.lpips)
