"""What makes networks faster or smaller and leaves their mathematics alone.

**Layout.** Convolutions read NHWC faster than NCHW: ×1.25 for Stable Diffusion's UNet on a CPU, more on a GPU.

**Products.** torch gives fp32 products to Intel's MKL, which takes AVX-512 on Intel's CPUs only; on AMD's, half of the
machine stands idle. oneDNN's convolutions ask what the CPU can do, not who made it, and a linear layer is a 1×1
convolution over its tokens. Twice as fast there.

**Inputs.** torch's convolutions keep their input for the weight's gradient, also where the weight is frozen. Ours keep
it only where it learns. `python benchmarks/cycle_step.py` shows what each gives.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Module = TypeVar("Module", bound=nn.Module)

LEAST = 2**24  # multiplications below which the detour costs more than it gains


class FrozenProduct(torch.autograd.Function):
    """x [..., in] · weightᵀ + bias by a convolution, for a weight [out, in] that has no gradient. It keeps no input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return product(grad, weight.t(), None), None, None


class FrozenConvolution(torch.autograd.Function):
    """F.conv2d for a weight that has no gradient. It keeps no input: the transposed convolution is the gradient's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.layer, ctx.sides = layer, x.shape[2:]
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,), layer = ctx.saved_tensors, ctx.layer
        sides = zip(ctx.sides, layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
        # How many pixels at the end the stride has not reached.
        rest = [(side + 2 * pad - step * (kernel - 1) - 1) % stride for side, kernel, stride, pad, step in sides]
        weight = weight.to(grad.dtype)  # where forward ran under autocast
        x = F.conv_transpose2d(grad, weight, None, layer.stride, layer.padding, rest, layer.groups, layer.dilation)
        return x, None, None, None


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """F.linear by oneDNN."""
    tokens = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # as it lies: NHWC
    # By name: F.conv2d gives 1×1 kernels back to MKL where torch has one thread.
    out = torch.mkldnn_convolution(tokens, weight[:, :, None, None], bias, [0, 0], [1, 1], [1, 1], 1)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


class ConvolutionLinear(nn.Linear):
    """nn.Linear, computed as a convolution where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        other = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if other or torch.compiler.is_compiling() or x.numel() * self.out_features < LEAST:
            return super().forward(x)
        if learns(self):
            return product(x, self.weight, self.bias)
        return FrozenProduct.apply(x, self.weight, self.bias)


class FrugalConv2d(nn.Conv2d):
    """nn.Conv2d, which keeps its input for backward only where it learns."""

    def forward(self, x: Tensor) -> Tensor:
        if learns(self) or not x.requires_grad or torch.compiler.is_compiling():
            return super().forward(x)
        return FrozenConvolution.apply(x, self.weight, self.bias, self)


def learns(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters(recurse=False))


def fast(module: Module) -> Module:
    """In place: weights of convolutions in NHWC; convolutions keep no inputs in vain; linear layers become
    ConvolutionLinear on a CPU where it helps."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in module.modules():
        if type(part) is nn.Conv2d and part.padding_mode == "zeros" and not isinstance(part.padding, str):
            part.__class__ = FrugalConv2d
        elif type(part) is nn.Linear and mkl_is_slow():
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
