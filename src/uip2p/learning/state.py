"""Everything that a run must remember. What is not in here is a function of (seed, step, sample)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from uip2p.errors import UserError
from uip2p.learning import checkpoint
from uip2p.learning.journal import Means
from uip2p.learning.optimizer import get_moments, set_moments
from uip2p.learning.ranks import from_main, share
from uip2p.learning.sharding import all_whole, like
from uip2p.models.ema import EMA


class TrainState:
    """Weights, averages, moments and the few numbers beside them, to and from the run's folder.

    step: updates done, skipped ones included. best: the lowest validation loss up to this step; `best/` on the disk may
    be ahead of it, as the rows of metrics.jsonl may. bad: the samples of the non-finite steps in a row.
    """

    NUMBERS = ("step", "skipped", "seconds", "best", "bad", "alarmed")

    def __init__(self, objective: nn.Module, ema: EMA, optimizer: Any, scaler: Any = None):
        self.objective, self.ema, self.optimizer, self.scaler = objective, ema, optimizer, scaler
        self.parameters = ema.parameters
        self.step, self.skipped, self.seconds = 0, 0, 0.0
        self.best = math.inf
        self.bad: list[list[int]] = []
        self.alarmed = False
        self.means = Means()

    def save(self, folder: Path, keep: int, accelerator: Accelerator) -> None:
        """Every process takes part, as each may have a share of the weights; the first alone writes."""
        main = accelerator.is_main_process
        groups = {
            "model": all_whole({name: tensor.detach() for name, tensor in self._tensors().items()}, main),
            "ema": all_whole(self.ema.averages, main),
            "optimizer": all_whole(get_moments(self.optimizer, self.parameters), main),
        }
        numbers = {name: getattr(self, name) for name in self.NUMBERS}
        numbers["means"] = [self.means.sums, self.means.count]
        numbers["scaler"] = self.scaler.state_dict() if self.scaler is not None else None
        from_main(accelerator, lambda: str(checkpoint.save(folder, self.step, groups, numbers, keep)))

    @torch.no_grad()
    def resume(self, folder: Path, steps: int, accelerator: Accelerator) -> bool:
        """Go on from the newest whole checkpoint; False where there is none. `steps`: of the whole run."""
        groups: dict[str, checkpoint.Tensors] = {}
        tensors = self._tensors()

        def read() -> dict[str, Any] | None:
            nonlocal groups
            path = checkpoint.latest_valid(folder)
            if path is None:
                return None
            groups, numbers = checkpoint.load(path)
            if numbers["step"] > steps:
                raise UserError(f"{path}: this run has passed step {steps} already; steps cannot go down.")
            _check_same(tensors, groups["model"], path / "model.safetensors")
            return numbers

        numbers = from_main(accelerator, read)
        if numbers is None:
            return False
        groups = {name: share(accelerator, groups.get(name, {})) for name in ("model", "ema", "optimizer")}
        for name, tensor in tensors.items():
            tensor.copy_(like(groups["model"][name], tensor))
        self.ema.load(groups["ema"])
        set_moments(self.optimizer, self.parameters, groups["optimizer"])
        for name in self.NUMBERS:
            setattr(self, name, numbers.get(name, getattr(self, name)))
        self.means = Means(*numbers["means"])
        if self.scaler is not None:
            self.scaler.load_state_dict(numbers["scaler"])
        return True

    def _tensors(self) -> dict[str, Tensor]:
        """The trained parameters, and the persistent buffers: what an objective measured once and keeps."""
        kept = self.objective.state_dict(keep_vars=True)
        buffers = {name: t for name, t in kept.items() if not isinstance(t, nn.Parameter)}
        return {**self.parameters, **buffers}


def frozen_weights(objective: nn.Module) -> str:
    """A digest of the parameters that are not trained: on others, a resumed run would be another training."""
    return checkpoint.digest({n: p for n, p in objective.named_parameters() if not p.requires_grad})


def load_best(folder: Path) -> tuple[dict[str, Tensor], float, int | None]:
    """The averaged weights with the lowest validation loss so far, that loss, and their step; ({}, inf, None)."""
    path = folder / "ema.safetensors"
    if not path.exists():
        return {}, math.inf, None
    tensors, notes = checkpoint.load_weights(path)
    return tensors, notes["loss"], notes["step"]


def save_best(folder: Path, averages: dict[str, Tensor], loss: float, step: int) -> None:
    checkpoint.save_weights(folder / "ema.safetensors", averages, {"loss": loss, "step": step})


def _check_same(tensors: Mapping[str, Tensor], saved: Mapping[str, Tensor], path: Path) -> None:
    for name in sorted(tensors.keys() | saved.keys()):
        here, there = (list(side[name].shape) if name in side else "nothing" for side in (tensors, saved))
        if here != there:
            raise UserError(f"{path}: {name} is {there} there and {here} here: this is another model's checkpoint.")
