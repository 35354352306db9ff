"""The cycle step on a GPU, in bf16 at full size: batch 1 to the end of memory, eager, compiled and with CUDA graphs.

    python benchmarks/gpu.py --out docs/results/speed/gpu.md

Each row is a process of its own (`cycle_step.py`), so that one that runs out of memory ends alone. Beside measured
speeds stand the share of this device's limit, and the hours of the paper's run (768 × 11,000 pictures) at that speed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from measure import where

PAPER = 768 * 11_000  # pictures
MODES = {"eager": [], "compiled": ["--compile", "default"], "graphs": ["--compile", "reduce-overhead"]}
HEAD = ["way", "mode", "batch", "pictures/s", "peak GB", "TFLOP a picture", "of limit", "hours for the paper's run"]


def measure(batch: int, mode: str, ways: list[str], more: list[str]) -> tuple[dict[str, Any] | None, str]:
    """(figures, all that was printed); None where memory does not suffice. SystemExit: anything else went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, str(Path(__file__).with_name("cycle_step.py")), "--batch", str(batch)]
        command += ["--ways", *ways, "--json", str(file), *MODES[mode], *more]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return json.loads(file.read_text()), done.stdout
    if "OutOfMemoryError" in done.stderr:
        return None, done.stderr
    raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")


def rows_of(found: dict[str, Any], mode: str) -> list[list[str]]:
    rows = []
    for name, row in found["ways"].items():
        speed, flops = found["batch"] / row["median"], row["flops"] / found["batch"]
        share, hours = speed * flops / found["limit"], PAPER / speed / 3600
        cost = [f"{row['peak'] / 1e9:.1f}", f"{flops / 1e12:.3f}", f"{share:.1%}", f"{hours:,.1f}"]
        rows.append([name, mode, str(found["batch"]), f"{speed:.2f}", *cost])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--most", type=int, default=256, help="the largest batch")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--mini", action="store_true", help="the miniature instead, as a trial")
    args = parser.parse_args()
    more = ["--device", args.device, "--precision", args.precision, *(["--mini"] if args.mini else [])]
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for mode in args.modes:
        ways, batch = ["exact", "lean"], 1
        ways = ["plain", "tuned", *ways] if mode == "eager" else ways
        while batch <= args.most and ways:
            found, said = measure(batch, mode, ways, more)
            if found is None:  # the heaviest ways first: what is leaner may go on
                print(f"{mode}, batch {batch}: {ways[0]} does not fit", flush=True)
                ways = ways[1:]
                continue
            for row in rows_of(found, mode):
                lines.append("| " + " | ".join(row) + " |")
                print(lines[-1], flush=True)
            batch *= 2
    _, said = measure(4, args.modes[0], ["lean" if not args.mini else "exact"], [*more, "--profile"])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    machine = where(torch.device(args.device))
    head = f"`python benchmarks/gpu.py --out {args.out}` on {machine}"
    args.out.write_text("\n".join([head, "", *lines, "", "Where the time goes, batch 4:", "```", said, "```", ""]))


if __name__ == "__main__":
    main()
