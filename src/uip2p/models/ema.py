"""The exponential moving average of the trainable parameters: what is validated, sampled and exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from uip2p.learning.sharding import like


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter, of those with requires_grad; a parameter that is shared is named once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


class EMA:
    """average <- average + (1 - d)(weight - average), with d = min(decay, (1 + n) / (10 + n)) after n updates.

    The rising d lets the average leave the initial weights behind within the first hundreds of steps.
    A decay of 0 follows the weights themselves. The averages are float32, whatever the weights are.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float):
        self.parameters, self.decay = dict(parameters), decay
        self.averages = {name: p.detach().float().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, n: int) -> None:
        """Move the averages towards the weights; `n` counts the updates before this one."""
        decay = min(self.decay, (1 + n) / (10 + n))
        weights = [p.detach().float() for p in self.parameters.values()]
        torch._foreach_lerp_(list(self.averages.values()), weights, 1 - decay)

    @torch.no_grad()
    def load(self, averages: Mapping[str, torch.Tensor]) -> None:
        for name, average in self.averages.items():
            average.copy_(like(averages[name], average))

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(self.averages[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module holds the averages; after it, its own weights again, bit for bit."""
        kept = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.copy_to_parameters()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(kept[name])

    @contextmanager
    def judging(self, module: nn.Module) -> Iterator[None]:
        """Within the block: the averages, evaluation mode, no gradients. After it each part is in the mode it had."""
        modes = [(part, part.training) for part in module.modules()]
        module.eval()
        try:
            with torch.no_grad(), self.applied():
                yield
        finally:
            for part, mode in modes:
                part.training = mode
