"""FSDP2: every device keeps its share of the weights, gradients, moments and averages of the networks that learn, and
the whole of a block's weights only while that block runs.

Sharded is what `objective.networks()` lists, with all in it: under LoRA also the frozen base around what learns, in the
precision it is kept in. Not sharded, so whole on every device: networks that do not learn at all (autoencoder, loss
encoders, a frozen text encoder, a tiny decoder), and buffers. On the disk everything is whole, so a run may go on at
any number of devices, sharded or not.

Every device must run the networks equally often in a step, for each run gathers weights from all of them: hence the
equal shares of a batch that the trainer asks for.
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
    """In place. `objective.networks()` are the modules with weights that learn, each called as a whole; inside them the
    units are those that its class calls indivisible, as accelerate's wrapping takes them."""
    mesh = init_device_mesh(device.type, (world,))
    for network in objective.networks():
        network.to(memory_format=torch.contiguous_format)  # FSDP2 takes no other
        names = getattr(network, "_no_split_modules", None) or ()
        units = [part for part in network.modules() if type(part).__name__ in names]
        for unit in (*reversed(units), network):  # what is inside first
            # The outermost too lets its weights go after forward: what is written into the shards (averages for a
            # validation, a checkpoint) would not be seen by a copy that had stayed whole.
            fully_shard(unit, mesh=mesh, reshard_after_forward=True)


def is_sharded(module: nn.Module) -> bool:
    return any(isinstance(part, FSDPModule) for part in module.modules())


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all that the other devices have of it. Every device has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def all_whole(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """One after the other, and what had been shared out to the CPU: the device has no room for all of it. Every device
    has to ask; without `keep` it only gives its shares."""
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            found[name] = full.cpu() if isinstance(tensor, DTensor) else full
    return found


def like(value: Tensor, target: Tensor) -> Tensor:
    """A whole tensor, laid out and shared out as `target` is: a fused optimizer goes through weights and moments as
    they lie, and would not see that one is NHWC and the other NCHW."""
    if not isinstance(target, DTensor):
        return torch.empty_like(target, dtype=value.dtype, device=value.device).copy_(value)
    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)


def accumulate(objective: nn.Module, last: bool) -> None:
    """Gradients are added up over the devices in the last part of a step alone."""
    for part in objective.modules():
        if isinstance(part, FSDPModule):
            part.set_requires_gradient_sync(last, recurse=False)


@contextmanager
def gathered(objective: nn.Module, keep: bool = True) -> Iterator[None]:
    """Within it, where `keep`, every parameter is whole and every module of its own class, as if nothing had been
    sharded: for writing a model, not for running it. Every device has to take part."""
    kept: list[tuple[nn.Module, str, nn.Parameter]] = []
    classes: list[tuple[nn.Module, type]] = []
    for part in objective.modules():
        for name, parameter in list(part._parameters.items()):
            if isinstance(parameter, DTensor):
                full = whole(parameter.detach())
                if keep:
                    kept.append((part, name, parameter))
                    part._parameters[name] = nn.Parameter(full, requires_grad=False)
        if keep and isinstance(part, FSDPModule):
            classes.append((part, type(part)))
            part.__class__ = type(part).__mro__[2]  # FSDP's own class is made of FSDPModule and this
    try:
        yield
    finally:
        for part, name, parameter in kept:
            part._parameters[name] = parameter
        for part, own in classes:
            part.__class__ = own
