"""Products by oneDNN's convolutions: the same numbers as MKL's, and every layer keeps its name and its weights."""

import copy

import pytest
import torch
from torch import nn

from uip2p.models import fast as speed
from uip2p.models.fast import ConvolutionLinear, fast


@pytest.mark.parametrize("shape", [(4096, 128), (2, 2048, 128), (3, 5, 300, 128)])
def test_forward_and_gradients_equal_a_linear_layer(shape):
    torch.manual_seed(0)
    plain = nn.Linear(128, 1024)
    fast = copy.deepcopy(plain)
    fast.__class__ = ConvolutionLinear
    x = torch.randn(shape)
    assert x.numel() * 1024 >= speed.LEAST  # so the convolution is what runs
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outs = [layer(value) for layer, value in zip((plain, fast), inputs, strict=True)]
    assert "Linear" not in type(outs[1].grad_fn).__name__ and outs[1].shape == outs[0].shape
    weight = torch.randn_like(outs[0])
    for out in outs:
        (out * weight).mean().backward()
    for ours, theirs in [
        (outs[1], outs[0]), (inputs[1].grad, inputs[0].grad), (fast.weight.grad, plain.weight.grad),
        (fast.bias.grad, plain.bias.grad),
    ]:  # fmt: skip
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_a_small_product_stays_a_product(bias):
    layer = nn.Linear(8, 8, bias=bias)
    layer.__class__ = ConvolutionLinear
    x = torch.randn(4, 8)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_convolutions_read_nhwc():
    layer = fast(nn.Conv2d(4, 8, 3))
    assert layer.weight.is_contiguous(memory_format=torch.channels_last) and not layer.weight.is_contiguous()
    assert layer(torch.randn(1, 4, 8, 8)).is_contiguous(memory_format=torch.channels_last)


def test_only_where_it_helps_and_only_linear_layers(monkeypatch):
    monkeypatch.setattr(speed, "mkl_is_slow", lambda: False)
    model = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2), nn.Conv2d(4, 4, 1))
    before = [type(part) for part in model.modules()]
    assert [type(part) for part in fast(model).modules()] == before
    monkeypatch.setattr(speed, "mkl_is_slow", lambda: True)
    names = list(model.state_dict())
    assert type(fast(model)[0]) is ConvolutionLinear
    assert list(model.state_dict()) == names
    assert type(model[1].out_proj) is not ConvolutionLinear  # MultiheadAttention reads its weights itself
