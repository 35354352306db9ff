"""What makes networks faster and leaves their mathematics alone.

**Layout.** Convolutions read NHWC faster than NCHW: ×1.25 for Stable Diffusion's UNet on a CPU, more on a GPU.

**Products.** torch gives fp32 products to Intel's MKL, which takes AVX-512 on Intel's CPUs only; on AMD's, half of the
machine stands idle. oneDNN's convolutions ask what the CPU can do, not who made it, and a linear layer is a 1×1
convolution over its tokens. Twice as fast there. `python benchmarks/cycle_step.py` shows what both give.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

LEAST = 2**24  # multiplications below which the detour costs more than it gains


class ConvolutionLinear(nn.Linear):
    """nn.Linear, computed as a convolution where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        other = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if other or torch.compiler.is_compiling() or x.numel() * self.out_features < LEAST:
            return super().forward(x)
        tokens = x.reshape(1, -1, 1, self.in_features).permute(0, 3, 1, 2)  # as it lies: NHWC
        # By name: F.conv2d gives 1×1 kernels back to MKL where torch has one thread.
        out = torch.mkldnn_convolution(tokens, self.weight[:, :, None, None], self.bias, [0, 0], [1, 1], [1, 1], 1)
        return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], self.out_features)


def fast(module: Module) -> Module:
    """In place: weights of convolutions in NHWC; linear layers become ConvolutionLinear on a CPU where it helps."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
