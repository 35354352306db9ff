"""Muon: momentum whose update is orthogonal, for matrices and kernels. For everything else it is AdamW.

    M ← μ M + G;   U = orthogonal(G + μ M);   W ← (1 − η λ) W − η_M √max(1, rows / columns) U

(K. Jordan et al., 2024, kellerjordan.github.io/posts/muon.) A gradient's few strong directions drown the weak ones, and
short training has no time to wait for those: an orthogonal update moves all of them alike.

torch.optim.Muon takes matrices and no kernels, and multiplies in bf16, which most CPUs emulate. This one is fp32.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

GAIN = 20  # η_M / η: Muon's customary 0.02 where AdamW's learning rate is 1e-3
MOMENTUM = 0.95
# Of the quintic that drives every singular value towards 1 in five turns: Jordan's choice, fast and within 0.7 … 1.2.
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.AdamW):
    """AdamW, but groups with `orthogonal=True` are updated by Muon with GAIN times the learning rate.

    Kernels [out, in, h, w] count as matrices [out, in·h·w]. A matrix has one momentum where AdamW has two.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all that has a gradient. ValueError: a closure, as matrices would have moved before it ran."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor, dict[str, Any]]]] = defaultdict(list)
        for group in self.param_groups:
            for p in group["params"] if group.get("orthogonal") else ():
                if p.grad is not None:
                    nesterov = self._momentum(p).mul_(MOMENTUM).add_(p.grad).mul(MOMENTUM).add_(p.grad).flatten(1)
                    by_shape[tuple(nesterov.shape)].append((p, nesterov, group))
                    p.grad = None  # AdamW passes over it
        for (rows, columns), members in by_shape.items():  # matrices of one shape together: one product for all
            for update, (p, _, group) in zip(orthogonal(torch.stack([m[1] for m in members])), members, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view_as(p), alpha=-GAIN * group["lr"] * max(1, rows / columns) ** 0.5)
        return super().step()

    def _momentum(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(p)}  # AdamW expects a step in every state
        state["step"] += 1
        return state["momentum"]


def orthogonal(m: Tensor, turns: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrices to m [..., rows, columns], nearly: singular values from 0.7 to 1.2.

    Newton-Schulz: X ← a X + (b X Xᵀ + c (X Xᵀ)²) X, which needs products only. Zero stays zero.
    """
    tall = m.shape[-2] > m.shape[-1]
    x = m.mT if tall else m
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    a, b, c = QUINTIC
    for _ in range(turns):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
