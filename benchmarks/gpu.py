"""A GPU at full size: the step of training, an edit, the trainer itself. Stable Diffusion 1.5's shape, random weights.

    python benchmarks/gpu.py --out docs/results/speed/gpu.json
    python benchmarks/gpu.py --out docs/results/speed/gpu.json --parts edit --edit-batches 1 8

train     `cycle_step.py` at --batches, each word of --ways a process; --rank 0 is the paper's: the whole UNet learns
edit      an edit of 512 px in 100 steps of three evaluations, as MagicBrush and InstructPix2Pix are evaluated
trainer   `uip2p train --recipe sd15-cc12m` on drawn scenes: loader, optimiser, EMA and log with it

Every measurement is a process of its own with a limit in seconds: one that runs out of memory or time ends alone. Each
is written as it is done, beside what --out holds already, so that a run that is cut short keeps what it has.
`benchmarks/reproduce.py` makes hours of the figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import editing
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from measure import DTYPES, timed
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.editing.loading import Savers, place_parts
from uip2p.evaluate.rows import commit, machine, versions
from uip2p.images import write_atomic
from uip2p.models import full_size

MODES = {"eager": [], "compiled": ["--compile", "default"], "graphs": ["--compile", "reduce-overhead"]}
PARTS = ["train", "edit", "trainer"]
HERE = Path(__file__).resolve().parent

Row = dict[str, Any]


def process(command: list[str], seconds: float, said: str) -> str | None:
    """What a Python program printed; None, said why: no memory, no time, or an error, whose end is shown."""
    try:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        print(f"{said}: took longer than {seconds:.0f} s", flush=True)
        return None
    if done.returncode == 0:
        return done.stdout
    print(f"{said}: {'out of memory' if 'OutOfMemoryError' in done.stderr else done.stderr[-3000:]}", flush=True)
    return None


# The step of training

def train_rows(args: argparse.Namespace, mode: str, batch: int, ways: list[str]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [str(HERE / "cycle_step.py"), "--batch", str(batch), "--ways", *ways, "--json", str(file)]
        command += ["--device", args.device, "--precision", args.precision, "--rank", str(args.rank), *MODES[mode]]
        if args.mini:
            command.append("--mini")
        if process(command, args.limit, f"train {' '.join(ways)}, {mode}, batch {batch}") is None:
            return []
        found = json.loads(file.read_text())
    size = "mini" if args.mini else f"sd15 256 {f'LoRA {args.rank}' if args.rank else 'whole'}"
    return [
        {"what": f"train {size} {name}", "mode": mode, "batch": batch, "pictures_per_second": batch / row["median"],
         "peak_gb": row["peak"] / 1e9, "tflop_a_picture": row["flops"] / batch / 1e12,
         "of_limit": row["flops"] / row["median"] / found["limit"], "limit_tflop": found["limit"] / 1e12}
        for name, row in found["ways"].items()
    ]  # fmt: skip


# An edit

def edit_row(device: str, precision: str, mode: str, batch: int, size: int, steps: int) -> Row:
    """In this process. The second of two rounds is timed: what compiles and allocates has done so."""
    torch.manual_seed(0)
    with torch.device(device):
        parts = editing.full_parts()
    parts = replace(parts, settings=replace(parts.settings, image_size=size))
    for network in (parts.unet, parts.vae, parts.text_encoder):
        network.to(DTYPES[precision])
    editor = Editor(place_parts(parts, torch.device(device), Savers(compile=mode == "compiled")))
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(batch)]

    def run(steps: int) -> None:
        editor(pictures, ["make it night"] * batch, steps=steps, batch_size=batch, seed=list(range(batch)))

    run(2)
    seconds = timed(lambda: run(steps), torch.device(device))
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
    what = f"edit sd15 {size} {steps} steps"
    return {"what": what, "mode": mode, "batch": batch, "seconds_per_picture": seconds / batch, "peak_gb": peak}


def edit_rows(args: argparse.Namespace, mode: str, batch: int) -> list[Row]:
    call = json.dumps([args.device, args.precision, mode, batch, args.edit_size, args.edit_steps])
    printed = process([str(HERE / "gpu.py"), "--this-edit", call], args.limit, f"edit, {mode}, batch {batch}")
    return [json.loads(printed.splitlines()[-1])] if printed else []


# The trainer

def trainer_rows(args: argparse.Namespace, steps: int = 24) -> list[Row]:
    """Losses and speed of the last steps of a real run: random weights in the published shape, saved and loaded."""
    batch, micro = args.trainer_batch, args.trainer_micro
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        torch.manual_seed(0)
        with torch.device(args.device):
            base = StableDiffusionPipeline(
                full_size.sd_autoencoder(), full_size.clip_l_text(), full_size.tokenizer(), full_size.sd15_unet(4),
                full_size.scheduler(), None, None, requires_safety_checker=False,
            )  # fmt: skip
            base.save_pretrained(root / "base")
            full_size.clip_l().save(root / "clip")
        del base
        torch.cuda.empty_cache() if args.device == "cuda" else None
        cli = ["-m", "uip2p.cli"]
        draw = [*cli, "scenes", "--count", "256", "--size", "256", "--out", str(root / "data")]
        if process(draw, args.limit, "uip2p scenes") is None:
            return []
        sets = [f"train.steps={steps}", f"train.batch_size={batch}", f"train.micro_batch={micro}", "train.log_every=4",
                "train.validate_every=1000", "train.sample_every_images=1000000", "train.save_every=1000",
                "train.warmup_steps=4", "train.export='last'", f"model.clips=['{root / 'clip'}']"]  # fmt: skip
        command = [*cli, "train", "--recipe", "sd15-cc12m", "--base", str(root / "base"), "--data", str(root / "data")]
        command += ["--out", str(root / "run"), *(part for text in sets for part in ("--set", text))]
        if process(command, args.limit, "uip2p train") is None:
            return []
        lines = [json.loads(line) for line in (root / "run/metrics.jsonl").read_text().splitlines()]
    rows = [line for line in lines if "images_per_second" in line]
    print(json.dumps(rows[-1]), flush=True)
    return [{"what": "trainer sd15-cc12m", "mode": f"eager, micro-batch {micro}", "batch": batch,
             "pictures_per_second": rows[-1]["images_per_second"], "losses": rows[-1]}]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a .json file")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=list(DTYPES), default="bf16")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=["eager", "compiled"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 48])
    parser.add_argument("--ways", nargs="+", default=["plain,tuned,exact,lean"], help="each word is a process")
    parser.add_argument("--rank", type=int, default=64, help="of the LoRA; 0: the whole UNet")
    parser.add_argument("--edit-batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--edit-size", type=int, default=512)
    parser.add_argument("--edit-steps", type=int, default=100)
    parser.add_argument("--trainer-batch", type=int, default=48)
    parser.add_argument("--trainer-micro", type=int, default=12)
    parser.add_argument("--limit", type=float, default=900, help="seconds for one measurement")
    parser.add_argument("--mini", action="store_true", help="train: the miniature instead, as a trial")
    parser.add_argument("--this-edit", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.this_edit:
        print(json.dumps(edit_row(*json.loads(args.this_edit))))
        return
    if args.out is None:
        parser.error("--out is where the figures go")
    todo = []
    for mode in args.modes if "train" in args.parts else ():
        for batch in args.batches:
            todo += [lambda m=mode, b=batch, w=ways: train_rows(args, m, b, w.split(",")) for ways in args.ways]
    if "edit" in args.parts:
        todo += [lambda m=m, b=batch: edit_rows(args, m, b) for m in args.modes for batch in args.edit_batches]
    if "trainer" in args.parts:
        todo.append(lambda: trainer_rows(args))
    for part in todo:
        write(args.out, part())


def write(out: Path, rows: list[Row]) -> None:
    """Adds rows to the file; a row of the same thing in the same way is replaced, another device's is not."""
    head = {"device": machine(), "torch": torch.__version__}
    known = json.loads(out.read_text())["rows"] if out.exists() else []
    same = ("what", "mode", "batch", "device")
    for row in rows:
        row |= head | {"commit": commit()}
        print(json.dumps(row), flush=True)
        known = [old for old in known if any(old.get(name) != row[name] for name in same)] + [row]
    out.parent.mkdir(parents=True, exist_ok=True)
    found = head | {"commit": commit(), "versions": versions(), "rows": known}
    write_atomic(out, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
