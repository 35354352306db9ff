"""The meter of a run as the command line asks for it: which figures, with which encoders."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from typing import Any

from uip2p.editing.loading import pick_device
from uip2p.errors import UserError
from uip2p.evaluate.encoders import PREPROCESSING, open_clip, open_dino
from uip2p.evaluate.meter import CLIP, DEFAULT, FIGURES, StandardMeter
from uip2p.evaluate.perceptual import open_lpips
from uip2p.models import hub


def add_arguments(group: Any) -> None:
    """Options of `build_meter`; what is not given is absent, and the suite's default holds."""
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--metrics", metavar="A,B,…",
        help=f"which figures, of {', '.join(FIGURES)} (default: the suite's, and lpips and dino where named)")
    add("--clip", metavar="ID|FOLDER",
        help=f"CLIP in transformers' layout, or 'mini', the shipped judge (default: the suite's, else {hub.CLIP_B})")
    add("--clip-preprocessing", choices=tuple(PREPROCESSING),
        help="openai: shortest edge and centre crop in PIL; stretch: to a square, antialiased; ip2p: to a square, not "
        "antialiased (default: the suite's, else openai)")
    add("--dino", metavar="ID|FOLDER", help=f"DINO as a transformers ViTModel (default: {hub.DINO})")
    add("--lpips", metavar="FILE",
        help="torchvision's AlexNet as .safetensors; without it lpips is not measured")
    add("--metrics-batch-size", type=int, metavar="N",
        help="pictures that an encoder is given at once; changes the speed, never a figure (default: 32)")


def build_meter(
    args: argparse.Namespace,
    captions: str,
    *,
    figures: Sequence[str] = DEFAULT,
    clip: str = hub.CLIP_B,
    preprocessing: str = "openai",
    quirk: bool = False,
    own_clip: bool = False,
) -> StandardMeter:
    """The meter of a run: a suite's defaults, over them what the command line says.

    figures, clip, preprocessing: the suite's. quirk: see `ClipEncoder`. own_clip: the suite reads --clip itself. On
    `args.device`, where there is one. UserError: an unknown figure, an option without its figure, weights that cannot
    be had, with the option that does without."""
    wanted = _figures(args, figures, own_clip)
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


def _figures(args: argparse.Namespace, default: Sequence[str], own_clip: bool) -> list[str]:
    """--metrics; else the suite's, and dino and lpips where their weights are named. Naming a CLIP adds nothing: some
    suites have their own figures of it. UserError: no such figure, or an option that no figure would read."""
    if hasattr(args, "metrics"):
        wanted = [name.strip() for name in args.metrics.split(",")]
    else:
        wanted = [*default, *(name for name in ("dino", "lpips") if hasattr(args, name) and name not in default)]
    for name in wanted:
        if name not in FIGURES:
            raise UserError(f"--metrics {args.metrics}: there is no figure {name!r}: choose from {', '.join(FIGURES)}.")
    named = {"clip": CLIP, "clip_preprocessing": CLIP, "dino": ("dino",), "lpips": ("lpips",)}
    for option, of in named.items():
        if hasattr(args, option) and not set(of) & set(wanted) and not (option == "clip" and own_clip):
            who = "--metrics" if hasattr(args, "metrics") else "the suite"
            raise UserError(f"--{option.replace('_', '-')}: {who} asks for none of {', '.join(of)}. Leave one out.")
    return wanted


def _lpips_file(args: argparse.Namespace) -> str:
    if not hasattr(args, "lpips"):
        raise UserError("lpips needs torchvision's AlexNet: give its file, --lpips FILE.")
    return str(args.lpips)
