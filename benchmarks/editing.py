"""Editing: ours beside diffusers' pipeline, at equal settings; and what few steps cost in quality.

    python benchmarks/editing.py                  the miniature: speed, then steps against quality on drawn scenes
    python benchmarks/editing.py --full           Stable Diffusion 1.5's shape at 256 px, random weights: speed only
    python benchmarks/editing.py --runtimes onnxruntime openvino      the exported editor beside them

Same weights, pictures, seeds, scheduler and scales; rounds go A B C A B C, times are medians. Ours and every runtime
must give diffusers' pictures to 2/255, else FAIL. Quality is the miniature's exact one: error inside the edit relative
to copying, change outside relative to the autoencoder's, share of edits that are nearest to what was asked.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler
from diffusers.utils.logging import set_verbosity_error
from measure import Measured, interleave, timed, where
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.editing.loading import Savers, place_parts
from uip2p.editing.sampling import noise_generators
from uip2p.evaluate.cases import suite_cases
from uip2p.evaluate.quick import edit_cases, sampling_settings, score
from uip2p.evaluate.scene_tables import summarise
from uip2p.models import full_size
from uip2p.models.folder import load_pipeline
from uip2p.models.onnx import RUNTIMES, export_onnx, load_onnx
from uip2p.models.parts import Parts, stock_pipeline
from uip2p.models.settings import Settings

STEPS = (100, 50, 20, 10, 5, 2, 1)


def full_parts() -> Parts:
    """An editor in Stable Diffusion 1.5's shape."""
    torch.manual_seed(0)
    settings = Settings(image_size=256, steps=50, guidance_scale=7.5, image_guidance_scale=1.5)
    networks = full_size.sd15_unet(), full_size.sd_autoencoder(), full_size.clip_l_text()
    for network in networks:
        network.eval().requires_grad_(False)
    return Parts(*networks, full_size.tokenizer(), full_size.scheduler(), settings, "sd15")


def speed(parts: Parts, args: argparse.Namespace) -> int:
    """Prints the table; 1 if pictures differ."""
    size = parts.settings.image_size
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(args.batch)]
    texts, seeds = ["make it night"] * args.batch, list(range(args.batch))
    scales = {"guidance_scale": 7.5, "image_guidance_scale": 1.5}
    scheduler = EulerAncestralDiscreteScheduler.from_config(parts.scheduler.config)
    set_verbosity_error()
    stock = stock_pipeline(parts)
    stock.scheduler = scheduler
    stock.set_progress_bar_config(disable=True)
    made: dict[str, list[Image.Image]] = {}

    def by_diffusers() -> None:
        generators = noise_generators(seeds)
        made["diffusers"] = stock(
            texts, image=pictures, generator=generators, num_inference_steps=args.steps, **scales
        ).images

    def by(name: str, editor: Editor) -> Callable[[], None]:
        options: dict[str, Any] = {"steps": args.steps, "seed": seeds, "scheduler": scheduler, **scales}
        return lambda: made.update({name: editor(pictures, texts, batch_size=args.batch, **options)})

    ours = place_parts(copy.deepcopy(parts), parts.unet.device, Savers())  # in place, and the peer has to stay as it is
    ways = {"diffusers": by_diffusers, "ours": by("ours", Editor(ours))}
    with tempfile.TemporaryDirectory() as folder:
        if args.runtimes:
            export_onnx(parts, Path(folder))
        for runtime in args.runtimes:
            ways[runtime] = by(runtime, Editor(load_onnx(Path(folder), runtime)))
        ways["diffusers again"] = by_diffusers
        for way in ways.values():
            way()
        device = parts.unet.device
        steps = {name: (lambda _, way=way: timed(way, device)) for name, way in ways.items()}
        seconds = interleave(steps, args.rounds, say=False)
    print(f"{args.batch} pictures of {size} px, {args.steps} steps of three evaluations\n")
    print("| | seconds a picture | spread | times as fast | largest difference, of 255 |\n|---|---|---|---|---|")
    base, worst = Measured(seconds["diffusers"]).median, 0
    for name, values in seconds.items():
        row = Measured(values)
        pairs = zip(made[name.removesuffix(" again")], made["diffusers"], strict=True)
        off = max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)
        worst = max(worst, off)
        print(f"| {name} | {row.median / args.batch:.3f} | {row.spread:.0%} | {base / row.median:.2f} | {off} |")
    if worst > 2:
        print(f"FAIL: pictures differ by {worst} of 255")
    return int(worst > 2)


def quality(parts: Parts, args: argparse.Namespace) -> None:
    """Steps against exact quality and time, on scenes that no training saw."""
    editor = Editor(place_parts(parts, parts.unet.device, Savers()))
    cases = suite_cases("scenes", "test", args.seed, args.count, 0, parts.settings.image_size)
    some = cases[:16]
    sources = np.stack([case.draw().source for case in some])
    settings = {steps: sampling_settings(editor, args.seed, steps) for steps in STEPS}
    each = {
        str(steps): (lambda _, of=of: timed(lambda: edit_cases(editor, some, sources, of), editor.device))
        for steps, of in settings.items()
    }
    seconds = interleave(each, args.rounds, say=False)
    print(f"\n{args.count} edits of nine kinds, the model's own scales\n")
    print("| steps | seconds a picture | times as fast | success | inside | outside ÷ round trip |")
    print("|---|---|---|---|---|---|")
    longest, most, equal = Measured(seconds[str(STEPS[0])]).median, None, 1.0
    for steps, of in settings.items():
        found = summarise(score(editor, None, cases, of, 16, None, progress=False))["single-turn"]["all"]["model"]
        took = Measured(seconds[str(steps)]).median
        most = most or found
        equal = longest / took if as_good(found, most) else equal
        figures = f"{found['success']:.1%} | {found['inside']:.3f} | {found['outside_ratio']:.2f}"
        print(f"| {steps} | {took / len(some):.4f} | {longest / took:.1f} | {figures} |")
    print(f"\nat equal quality {equal:.1f} times as fast as {STEPS[0]} steps")


def as_good(found: dict[str, Any], most: dict[str, Any]) -> bool:
    """Success two points lower at most, both errors five per cent higher at most."""
    if found["success"] < most["success"] - 0.02:
        return False
    return all(found[name] <= 1.05 * most[name] for name in ("inside", "outside_ratio"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, help="of the comparison: 20, and 2 at full size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtimes", nargs="+", choices=list(RUNTIMES), default=[])
    parser.add_argument("--count", type=int, default=360, help="edits for the quality")
    parser.add_argument("--seed", type=int, default=20261206)
    args = parser.parse_args()
    args.batch = args.batch or (1 if args.full else 8)
    args.steps = args.steps or (2 if args.full else 20)
    parts = full_parts() if args.full else load_pipeline("mini")
    with torch.no_grad():
        failed = speed(parts, args)
        if not args.full:
            quality(parts, args)
    print(where(parts.unet.device))
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
