"""FSDP2: every device keeps its share of the weights that learn, of their gradients, moments and averages, and of each
block's weights the whole only while that block runs. On the disk everything is whole, so a run may go on at any number
of devices, sharded or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(objective: Any, world: int, device: torch.device) -> None:
    """In place. `objective.networks()`, by default itself, are the modules with weights that learn, each called as a
    whole; what lies in their module lists is gathered and let go block by block."""
    mesh = init_device_mesh(device.type, (world,))
    networks = objective.networks() if hasattr(objective, "networks") else [objective]
    for network in networks:
        blocks = [block for part in network.modules() if isinstance(part, nn.ModuleList) for block in part]
        for block in reversed(blocks):  # what is inside first
            if any(parameter.requires_grad for parameter in block.parameters()):
                fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)


def is_sharded(objective: nn.Module) -> bool:
    return any(isinstance(part, FSDPModule) for part in objective.modules())


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all that the other devices have of it. Every device has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def all_whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: whole(tensor) for name, tensor in tensors.items()}


def like(value: Tensor, target: Tensor) -> Tensor:
    """A whole tensor, shared out as `target` is."""
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)


@contextmanager
def accumulating(objective: nn.Module, last: bool) -> Iterator[None]:
    """Gradients are added up over the devices in the last part of a step alone."""
    for part in objective.modules():
        if isinstance(part, FSDPModule):
            part.set_requires_gradient_sync(last, recurse=False)
    yield


@contextmanager
def gathered(objective: nn.Module) -> Iterator[None]:
    """Within it every parameter is whole, on every device: for writing a model, not for running it."""
    kept: list[tuple[nn.Module, str, nn.Parameter]] = []
    for part in objective.modules():
        for name, parameter in list(part._parameters.items()):
            if isinstance(parameter, DTensor):
                kept.append((part, name, parameter))
                part._parameters[name] = nn.Parameter(whole(parameter.detach()), requires_grad=False)
    try:
        yield
    finally:
        for part, name, parameter in kept:
            part._parameters[name] = parameter
