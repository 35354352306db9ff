"""Peak memory and time of one edit, with each of the ways to save memory.

    python benchmarks/edit_memory.py                                     Stable Diffusion 1.5's shape at 512 px
    python benchmarks/edit_memory.py --dtype fp16 --size 256 512 768     on a GPU, where there is one

Random weights of the published shapes: memory and time depend on shapes alone. One picture, guidance in text and
picture (three evaluations of the UNet at a time), as the editor does by default. Every row runs in a process of its
own. Peak is the device's: on CUDA what torch had allocated at most, on the CPU the process's resident memory, sampled
every 10 ms; "above weights" is what it is above that before the edit, with all networks that stay on the device in it.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import psutil
import torch
from measure import resident, where
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.editing.loading import Savers, pick_device, place_parts
from uip2p.models import full_size
from uip2p.models.parts import DTYPES, Parts
from uip2p.models.quiet import quiet
from uip2p.models.settings import Settings

# Way → what it asks of `Savers`; "draft" decodes by the tiny decoder.
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention slicing": {"attention_slicing": True},
    "VAE tiling": {"vae_tiling": True},
    "tiny decoder": {"draft": True},
    "model offload": {"offload": "model"},
    "model offload, VAE tiling": {"offload": "model", "vae_tiling": True},
    "sequential offload": {"offload": "sequential"},
}


def build(size: int, dtype: torch.dtype, tiny: bool) -> Parts:
    """On the CPU, frozen. size: pixels a side, at which it edits."""
    torch.manual_seed(0)

    def ready(network: Any) -> Any:
        with quiet():
            return network.to(dtype).eval().requires_grad_(False)

    return Parts(
        ready(full_size.sd15_unet()), ready(full_size.sd_autoencoder()), ready(full_size.clip_l_text()),
        full_size.tokenizer(), full_size.scheduler(), Settings(image_size=size), "Stable Diffusion 1.5's shape",
        tiny=ready(full_size.tiny_decoder()) if tiny else None,
    )  # fmt: skip


def measure(way: str, size: int, device: torch.device, dtype: torch.dtype, steps: int) -> dict[str, float]:
    """{"weights", "peak": bytes, "seconds"} of one edit."""
    options = dict(WAYS[way])
    draft = options.pop("draft", False)
    editor = Editor(place_parts(build(size, dtype, draft), device, Savers(**options)))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))

    def edit() -> float:
        began = time.perf_counter()
        editor.edit(picture, "a picture", steps=steps, guidance_scale=7.5, image_guidance_scale=1.5, draft=draft)
        return time.perf_counter() - began

    if device.type != "cuda":
        weights = psutil.Process().memory_info().rss
        with resident() as above:
            seconds = edit()
        return {"weights": weights, "peak": weights + above[0], "seconds": seconds}
    edit()  # kernels are chosen at the first one
    torch.cuda.reset_peak_memory_stats(device)
    weights = 0 if options.get("offload") else torch.cuda.memory_allocated(device)
    seconds = edit()
    return {"weights": weights, "peak": torch.cuda.max_memory_allocated(device), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[512])
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--device")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help="measure this one alone, in this process, and print it as JSON")
    args = parser.parse_args()
    device = pick_device(args.device)
    if args.way:
        print(json.dumps(measure(args.way, args.size[0], device, DTYPES[args.dtype], args.steps)))
        return

    command = f"python benchmarks/edit_memory.py {' '.join(sys.argv[1:])}".rstrip()
    print(f"`{command}`: {args.dtype}, {args.steps} steps; {where(device)}\n")
    print("| size | way | peak GB | above weights GB | seconds |\n|---:|---|---:|---:|---:|", flush=True)
    for size in args.size:
        for way, options in WAYS.items():
            if options.get("offload") and device.type == "cpu":
                print(f"| {size} | {way} | needs a GPU | | |", flush=True)
                continue
            child = [sys.executable, __file__, "--way", way, "--size", str(size), "--dtype", args.dtype,
                     "--device", str(device), "--steps", str(args.steps)]  # fmt: skip
            done = subprocess.run(child, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                print(f"| {size} | {way} | failed (exit {done.returncode}) | | |", flush=True)
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            peak, above = row["peak"] / 1e9, (row["peak"] - row["weights"]) / 1e9
            print(f"| {size} | {way} | {peak:.2f} | {above:.2f} | {row['seconds']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
