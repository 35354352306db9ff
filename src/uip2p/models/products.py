"""Matrix products on a CPU whose owner MKL does not know.

torch gives fp32 products to Intel's MKL, which takes AVX-512 on Intel's CPUs only: on AMD's, half of the machine stands
idle. oneDNN's convolutions ask what the CPU can do, not who made it, and a linear layer is a 1×1 convolution over its
tokens. The same mathematics in fp32, up to twice as fast (`python benchmarks/products.py`).
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
LEAST = 2**24  # multiplications below which the detour costs more than it gains
SMALL = 20480  # numbers up to which torch does not give a convolution of one picture to oneDNN


class ConvolutionLinear(nn.Linear):
    """nn.Linear, computed as a convolution where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        small = x.numel() <= SMALL or x.numel() * self.out_features < LEAST
        if small or x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        tokens = x.reshape(1, -1, 1, self.in_features).permute(0, 3, 1, 2)  # as it lies: NHWC
        out = F.conv2d(tokens, self.weight[:, :, None, None], self.bias)
        return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], self.out_features)


def fast_products(module: Module) -> Module:
    """In place, on a CPU where it helps: the module's linear layers become ConvolutionLinear."""
    if mkl_is_slow():
        for part in module.modules():
            if type(part) is nn.Linear:
                part.__class__ = ConvolutionLinear
    return module


@functools.cache
def mkl_is_slow() -> bool:
    """Whether torch multiplies with MKL on a CPU with AVX-512 that is not Intel's. Asked, not measured: a training that
    goes on has to compute as it did before."""
    if not torch.backends.mkl.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    info = Path("/proc/cpuinfo")
    return "GenuineIntel" not in (info.read_text() if info.exists() else platform.processor())
