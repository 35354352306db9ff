"""How a step's cost grows with resolution, batch, captured layers and ranks; a plot and its figures.

    python benchmarks/growth.py --out docs/results/speed/growth

Seconds and memory are the miniature's, in rounds A B C A B C, medians; pictures a second over ranks are the trainer's
own, one thread a rank. Stable Diffusion 1.5's operations and activations are counted on the device meta, not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from measure import Measured, count, interleave, timed, where
from models import Models, cached, full, miniature, rows_of

from uip2p.learning.counting import count_step
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.randomness import Draw
from uip2p.models.settings import Settings

SIZES, BATCHES, SIDES, RANKS = (32, 64, 96, 128), (1, 2, 4, 8, 16, 32), (0, 16, 32), (1, 2)
FULL_SIZES = (128, 256, 384, 512, 768)


def step_of(models: Models, batch: int, side: int = 16) -> Callable[[], None]:
    """Forward and backward of the cycle, from a cache."""
    rows, _ = cached(models, rows_of(models, batch))
    config = CycleConfig(dropout=0.0, attention_side=side, attention=0.5 if side else 0.0)
    objective = CycleObjective(models.editor, [models.clip], config, Settings())

    def step() -> None:
        losses = objective(rows, Draw(1, 0, range(batch), models.editor.device)).losses
        torch.stack([value.sum() for value in losses.values()]).sum().div(batch).backward()
        models.editor.zero_grad(set_to_none=True)

    return step


def measured(steps: dict[Any, Callable[[], None]], batches: Sequence[int], rounds: int) -> list[dict[str, float]]:
    """For each step: {"at", "seconds" and "gigabytes" a picture}."""
    device = torch.device("cpu")
    peaks = [count(step, device)[0] for step in steps.values()]  # also the warm-up
    seconds = interleave({str(at): (lambda _, s=s: timed(s, device)) for at, s in steps.items()}, rounds, say=False)
    rows = zip(steps, batches, peaks, strict=True)
    return [
        {"at": at, "seconds": Measured(seconds[str(at)]).median / batch, "gigabytes": peak / 1e9 / batch}
        for at, batch, peak in rows
    ]


def over_ranks(ranks: int, images: int = 1280) -> float:
    """Pictures a second of the very trainer, with so many processes of one thread."""
    steps = images // 32
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command += ["-m", "uip2p.cli", "train", "--recipe", "mini-demo", "--root", root]
        for setting in (f"steps={steps}", "batch_size=32", "log_every=5", "sample_every_images=0", "warmup_steps=0"):
            command += ["--set", f"train.{setting}"]
        quiet = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, "capture_output": True, "text": True}
        done = subprocess.run(command, **quiet)  # type: ignore[call-overload]
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        lines = next(Path(root).rglob("metrics.jsonl")).read_text().splitlines()
    rates = [row["images_per_second"] for row in map(json.loads, lines) if "images_per_second" in row]
    return statistics.median(rates[1:])


def counted() -> list[dict[str, float]]:
    """Stable Diffusion 1.5, LoRA, tiny decoder, one picture in fp32: {"at": pixels, "tflop", "gigabytes"}."""
    with torch.device("meta"):
        models = full("meta")
    models.editor.tiny = models.tiny
    objective = CycleObjective(models.editor, [models.clip], CycleConfig(dropout=0.0), Settings()).to("meta")
    found = []
    for size in FULL_SIZES:
        kept, flops = count_step(objective, size)
        found.append({"at": size, "tflop": flops / 1e12, "gigabytes": kept / 1e9})
    return found


def plot(figures: dict[str, list[dict[str, float]]], path: Path) -> None:
    titles = {
        "resolution": ("pixels a side", "seconds"),
        "batch": ("pictures a step", "seconds"),
        "captured layers": ("largest side of a captured map", "seconds"),
        "ranks": ("processes of one thread", "pictures_per_second"),
        "resolution, Stable Diffusion 1.5, counted": ("pixels a side", "tflop"),
    }
    figure, axes = plt.subplots(1, len(titles), figsize=(4 * len(titles), 3.4), layout="constrained")
    for axis, (name, (label, value)) in zip(axes, titles.items(), strict=True):
        rows = figures[name]
        axis.plot([row["at"] for row in rows], [row[value] for row in rows], "o-", label=value.replace("_", " "))
        axis.set(title=name, xlabel=label, ylim=(0, None))
        axis.set_ylabel({"seconds": "seconds a picture", "tflop": "TFLOP a picture"}.get(value, "pictures a second"))
        if "gigabytes" in rows[0]:
            other = axis.twinx()
            other.plot([row["at"] for row in rows], [row["gigabytes"] for row in rows], "s--", color="tab:red")
            other.set_ylabel("GB a picture (dashed)")
            other.set_ylim(0, None)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="of .json and .png")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(PARTS), help="this part anew; the others as --out has them")
    args = parser.parse_args()
    results = args.out.with_suffix(".json")
    figures: dict[str, Any] = json.loads(results.read_text())["figures"] if args.only else {}
    figures |= {name: PARTS[name](args.rounds) for name in ([args.only] if args.only else PARTS)}
    for name, rows in figures.items():
        print(name, *rows, sep="\n  ")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    plot(figures, args.out.with_suffix(".png"))
    machine = where(torch.device("cpu"))
    command = f"python benchmarks/growth.py --out {args.out}"
    results.write_text(json.dumps({"command": command, "machine": machine, "figures": figures}, indent=1) + "\n")


def resolutions(rounds: int) -> list[dict[str, float]]:
    models = miniature()
    sizes = {size: step_of(replace(models, size=size), 8) for size in SIZES}
    return measured(sizes, [8] * len(SIZES), rounds)


def batches(rounds: int) -> list[dict[str, float]]:
    models = miniature()
    return measured({batch: step_of(models, batch) for batch in BATCHES}, BATCHES, rounds)


def captured_layers(rounds: int) -> list[dict[str, float]]:
    large = replace(miniature(), size=256)  # so that there are maps of 32 × 32
    return measured({side: step_of(large, 1, side) for side in SIDES}, [1] * len(SIDES), rounds)


PARTS: dict[str, Callable[[int], list[dict[str, float]]]] = {
    "resolution": resolutions,
    "batch": batches,
    "captured layers": captured_layers,
    "ranks": lambda rounds: [{"at": ranks, "pictures_per_second": over_ranks(ranks)} for ranks in RANKS],
    "resolution, Stable Diffusion 1.5, counted": lambda rounds: counted(),
}


if __name__ == "__main__":
    main()
