"""The optimizer of a recipe, and its state as named tensors: safetensors has no place for a pickled optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from uip2p.errors import UserError
from uip2p.learning.muon import Muon
from uip2p.learning.sharding import like
from uip2p.learning.train_config import TrainConfig

PARTS_8BIT = ("codes", "scale", "qmap")  # of a moment in torchao's 8 bits
# By convention Muon leaves the first and the last layer, and what is looked up row by row, to AdamW. The time embedding
# is no lookup: under AdamW the whole base learns more slowly.
NOT_ORTHOGONAL = ("embeddings", "conv_in", "conv_out")


def build_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, Muon or 8-bit AdamW. Weight decay on what has two dimensions or more; fused where torch has the kernel."""
    muon = config.optimizer == "muon"

    def group_of(name: str, parameter: nn.Parameter) -> str:
        if parameter.ndim < 2:
            return "vector"
        return "orthogonal" if muon and not any(part in name for part in NOT_ORTHOGONAL) else "matrix"

    groups: list[dict[str, Any]] = [
        {
            "params": [p for name, p in parameters.items() if group_of(name, p) == kind],
            "weight_decay": 0.0 if kind == "vector" else config.weight_decay,
            "orthogonal": kind == "orthogonal",
        }
        for kind in ("orthogonal", "matrix", "vector")
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw8bit":
        return _adamw8bit()(groups, lr=config.learning_rate, betas=config.betas)
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters.values())
    return (Muon if muon else torch.optim.AdamW)(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def _adamw8bit() -> Any:
    try:
        from torchao.optim import AdamW8bit
    except ImportError as error:
        raise UserError(f"optimizer 'adamw8bit' needs torchao ({error}): pip install 'uip2p[adam8bit]'.") from error
    return AdamW8bit


def get_moments(optimizer: Any, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimizer's state as one flat dict: "unet.conv_in.weight/exp_avg" -> tensor. Of a moment in 8 bits each
    tensor that it is made of: ".../exp_avg:codes"."""
    names = _in_order(optimizer, parameters)
    state = optimizer.state_dict()["state"]
    moments: dict[str, Tensor] = {}
    for i, kinds in state.items():
        for kind, tensor in kinds.items():
            at = f"{names[i]}/{kind}"
            if hasattr(tensor, "codes"):
                moments |= {f"{at}:{part}": getattr(tensor, part) for part in PARTS_8BIT}
            else:
                moments[at] = tensor
    return moments


def set_moments(optimizer: Any, parameters: Mapping[str, nn.Parameter], moments: Mapping[str, Tensor]) -> None:
    """Put back what `get_moments` gave."""
    numbers = {name: number for number, name in enumerate(_in_order(optimizer, parameters))}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in moments.items():
        name, _, kind = path.rpartition("/")
        shared = tensor.ndim > 0 and ":" not in kind
        state.setdefault(numbers[name], {})[kind] = like(tensor, parameters[name]) if shared else tensor
    for kinds in state.values():
        for kind in {kind.partition(":")[0] for kind in kinds if ":" in kind}:
            parts = {part: kinds.pop(f"{kind}:{part}") for part in PARTS_8BIT}
            kinds[kind] = _moment_8bit(parts, signed=kind == "exp_avg")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _moment_8bit(parts: Mapping[str, Tensor], signed: bool) -> Any:
    from torchao.optim.subclass_8bit import OptimState8bit

    return OptimState8bit(**parts, signed=signed, dtype=torch.float32)


def set_learning_rate(optimizer: Any, value: float) -> None:
    """For every group. torchao keeps its own in a tensor, which compiled code has taken in."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def _in_order(optimizer: Any, parameters: Mapping[str, nn.Parameter]) -> list[str]:
    """The parameters' names in the order in which the optimizer numbers them."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
