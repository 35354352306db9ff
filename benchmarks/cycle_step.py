"""One training step of the cycle, four ways, side by side in one process.

    python benchmarks/cycle_step.py           Stable Diffusion 1.5's shape at 256 px, random weights, LoRA, batch 1
    python benchmarks/cycle_step.py --mini    the miniature as it trains, batch 16
    python benchmarks/cycle_step.py --ways exact "no cache" "no products" "no nhwc"        what each lever gives

    plain   as a training script writes it down: every frozen network at every step, attention by explicit matrices
            wherever maps are wanted, the whole decoder, CLIP once a picture
    tuned   what a careful user makes of it: fused attention where no map is wanted, latents, texts and the source's
            CLIP embedding cached, channels_last, fused AdamW
    exact   ours (`CycleObjective`), from the same cache: the same mathematics
    lean    ours with a tiny decoder for the losses: other mathematics, so it has no gate

Gate, in fp32: `plain`, `tuned` and `exact` must agree in the losses of the first step to 1e-4, and after all rounds in
the parameters to 1 % of the way that these have gone; else FAIL and no ratio. Rounds go A B C D A B C D, with an A/A
control; times are medians. Memory is of tensors alive at once beyond those before the step, without the update. The
last line ends in `ratio X`: plain over lean (over exact where the decoder is tiny anyway).
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measure import DTYPES, Measured, count, interleave, limit, profiled, timed, where
from models import Models, cached, full, miniature, rows_of
from peers import Peer
from torch import Tensor, nn

from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.randomness import Draw
from uip2p.models.attention import tappable
from uip2p.models.fast import ConvolutionLinear, FrugalConv2d, mkl_is_slow
from uip2p.models.settings import Settings

LOSSES = ("direction", "similarity", "attention", "reconstruction")
Parameters = dict[str, Tensor]


@dataclass
class Way:
    """losses: draw → named losses [B]. nhwc: layout of convolutions. fused: AdamW. products: ours, and frugal: our
    convolutions, `models/fast.py`."""

    losses: Callable[[Draw], dict[str, Tensor]]
    nhwc: bool = True
    fused: bool = True
    products: bool = False
    frugal: bool = False
    tiny: nn.Module | None = None


class Runner:
    """All ways share the networks. Each has parameters and moments of its own, put in place outside the clock."""

    def __init__(self, models: Models, batch: int, precision: str):
        self.m, self.batch, self.device = models, batch, models.editor.device
        self.parameters = {n: p for n, p in models.editor.named_parameters() if p.requires_grad}
        self.start = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.kept: dict[str, tuple[Parameters, torch.optim.AdamW]] = {}
        self.first: dict[str, dict[str, float]] = {}
        self.autocast: Callable[[], Any] = nullcontext
        if precision != "fp32":
            self.autocast = lambda: torch.autocast(self.device.type, DTYPES[precision])

    def step(self, name: str, way: Way, number: int, measure: Callable = timed, update: bool = True) -> Any:
        """`measure`'s result, by default seconds, of one step from where this way's last step left the parameters."""
        self._prepare(way)
        weights, optimizer = self.kept.get(name, (self.start, None))
        with torch.no_grad():
            for key, parameter in self.parameters.items():
                parameter.copy_(weights[key])
        if optimizer is None:
            optimizer = torch.optim.AdamW(self.parameters.values(), 1e-4, fused=way.fused, foreach=not way.fused)
        draw = Draw(1, number, range(self.batch), self.device)
        losses: dict[str, Tensor] = {}

        def run() -> None:
            with self.autocast():
                losses.update(way.losses(draw))
            torch.stack([losses[key].sum() for key in LOSSES]).sum().div(self.batch).backward()
            if update:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        gc.collect()
        result = measure(run, self.device)
        self.kept[name] = ({key: p.detach().clone() for key, p in self.parameters.items()}, optimizer)
        self.first.setdefault(name, {key: losses[key].mean().item() for key in LOSSES})
        return result

    def _prepare(self, way: Way) -> None:
        layout = torch.channels_last if way.nhwc else torch.contiguous_format
        editor = self.m.editor
        for module in (editor.unet, editor.vae, way.tiny):
            if module is not None:
                module.to(memory_format=layout)
        editor.tiny = way.tiny
        linear = ConvolutionLinear if way.products and mkl_is_slow() else nn.Linear
        convolution = FrugalConv2d if way.frugal else nn.Conv2d
        for module in (*editor.modules(), *self.m.clip.modules()):
            if type(module) in (nn.Linear, ConvolutionLinear):
                module.__class__ = linear
            elif type(module) in (nn.Conv2d, FrugalConv2d):
                module.__class__ = convolution

    def faults(self) -> list[str]:
        """In which of the ways that claim the same mathematics it is not the same."""
        plain, found = self.first["plain"], []
        same = [name for name in ("tuned", "exact") if name in self.first]
        for name in same:
            off = {key: value - plain[key] for key, value in self.first[name].items() if abs(value - plain[key]) > 1e-4}
            found += [f"{name}: the loss {key} is off by {value:.1e}" for key, value in off.items()]
        length = self._apart(self.kept["plain"][0], self.start)
        for name in same:
            share = self._apart(self.kept["plain"][0], self.kept[name][0]) / length
            print(f"gate: {name} against plain, parameters apart by {share:.3%} of the way they went")
            found += [f"{name}: parameters {share:.1%} apart"] if share > 0.01 else []
        return found

    def _apart(self, one: Parameters, other: Parameters) -> float:
        return sum(float((one[name] - other[name]).square().sum()) for name in one) ** 0.5


def ways_of(models: Models, batch: int, names: list[str]) -> dict[str, Way]:
    rows = rows_of(models, batch)
    ours, theirs = cached(models, rows)
    objective = CycleObjective(models.editor, [models.clip], CycleConfig(dropout=0.0), Settings())
    plain, tuned = Peer(models, {}, tuned=False), Peer(models, theirs, tuned=True)

    def cycle(draw: Draw) -> dict[str, Tensor]:
        return objective(ours, draw).losses

    by_plain = Way(lambda draw: plain.losses(rows, draw), nhwc=False, fused=False)
    exact = Way(cycle, products=True, frugal=True)
    ways = {
        "plain": by_plain,
        "tuned": Way(lambda draw: tuned.losses(rows, draw)),
        "exact": exact,
        "lean": replace(exact, tiny=models.tiny),
        "plain again": by_plain,
        # One lever less each, by --ways alone.
        "no cache": replace(exact, losses=lambda draw: objective(rows, draw).losses),
        "no products": replace(exact, products=False),
        "no nhwc": replace(exact, nhwc=False),
        "kept inputs": replace(exact, frugal=False),
    }
    if models.tiny is None:
        del ways["lean"]
    if missing := set(names) - ways.keys() - {"lean"}:
        raise SystemExit(f"there is no way {', '.join(sorted(missing))}: give some of {', '.join(ways)}")
    return {name: way for name, way in ways.items() if name in names}


def table(found: dict[str, Measured], batch: int, best: float) -> str:
    lines = [f"{'':12} {'pictures/s':>10} {'spread':>7} {'peak GB':>8} {'TFLOP':>7} {'of limit':>8}"]
    for name, row in found.items():
        speed, flops = batch / row.median, row.flops / batch
        cost = f"{row.peak / 1e9:8.2f} {flops / 1e12:7.3f} {speed * flops / best:8.1%}"
        lines.append(f"{name:12} {speed:10.3f} {row.spread:7.1%} {cost}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mini", action="store_true")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--size", type=int, default=256, help="pixels a side, at full size")
    parser.add_argument("--rank", type=int, default=64, help="of the LoRA; 0: the whole UNet learns")
    parser.add_argument("--rounds", type=int, help="3 at full size, 7 for the miniature")
    parser.add_argument("--ways", nargs="+", default=["plain", "tuned", "exact", "lean", "plain again"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=list(DTYPES), default="fp32")
    parser.add_argument("--compile", choices=["default", "reduce-overhead"], help="ours, by torch.compile")
    parser.add_argument("--profile", action="store_true", help="also where the last way's time goes")
    parser.add_argument("--json", type=Path, help="the figures, for a program")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    models = miniature(args.device) if args.mini else full(args.device, args.size, args.rank)
    batch, rounds = args.batch or (16 if args.mini else 1), args.rounds or (7 if args.mini else 3)
    tappable(models.editor.unet)
    if args.compile:
        models.editor.compile_parts(args.compile)
    ways, runner = ways_of(models, batch, args.ways), Runner(models, batch, args.precision)
    found = {name: Measured() for name in ways}
    for name, way in ways.items():  # also the warm-up
        found[name].peak, found[name].flops = runner.step(name, way, 0, count, update=False)
    runner.kept.clear()
    steps = {name: (lambda number, name=name: runner.step(name, ways[name], number)) for name in ways}
    for name, seconds in interleave(steps, rounds, say=args.json is None).items():
        found[name].seconds = seconds
    if args.profile:
        name, way = list(ways.items())[-1]
        runner.step(name, way, rounds, profiled)
    best = limit(models.editor.device, args.precision)
    print("\n" + table(found, batch, best))
    print(f"limit: {best / 1e12:.3f} TFLOP/s; {where(models.editor.device)}")
    if args.json:
        figures = {name: asdict(row) | {"median": row.median} for name, row in found.items()}
        args.json.write_text(json.dumps({"batch": batch, "limit": best, "ways": figures}))
    if args.precision != "fp32" or not {"plain", "tuned", "exact"} <= found.keys():
        return 0
    if faults := runner.faults():
        print("\n".join(["FAIL", *faults]))
        return 1
    median = {name: row.median for name, row in found.items()}
    ours = "lean" if "lean" in found else "exact"
    control = f"; A/A {median['plain'] / median['plain again']:.3f}" if "plain again" in found else ""
    memory = found[ours].peak / found["plain"].peak
    print(f"exact over tuned {median['tuned'] / median['exact']:.3f}{control}; memory {ours} {memory:.2f} of plain")
    print(f"ratio {median['plain'] / median[ours]:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
