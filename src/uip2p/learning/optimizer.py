"""AdamW, and its state as named tensors: safetensors has no place for a pickled optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from uip2p.learning.train_config import TrainConfig


def adamw(parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """Weight decay on what has two dimensions or more; fused where torch has the kernel."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters.values())
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def get_moments(optimizer: Any, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimizer's state as one flat dict: "unet.conv_in.weight/exp_avg" -> tensor."""
    names = _in_order(optimizer, parameters)
    state = optimizer.state_dict()["state"]
    return {f"{names[i]}/{kind}": tensor for i, kinds in state.items() for kind, tensor in kinds.items()}


def set_moments(optimizer: Any, parameters: Mapping[str, nn.Parameter], moments: Mapping[str, Tensor]) -> None:
    """Put back what `get_moments` gave."""
    numbers = {name: number for number, name in enumerate(_in_order(optimizer, parameters))}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in moments.items():
        name, _, kind = path.rpartition("/")
        state.setdefault(numbers[name], {})[kind] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _in_order(optimizer: Any, parameters: Mapping[str, nn.Parameter]) -> list[str]:
    """The parameters' names in the order in which the optimizer numbers them."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
