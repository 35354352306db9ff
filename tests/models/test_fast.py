"""Products by oneDNN's convolutions: the same numbers as MKL's, and every layer keeps its name and its weights. A layer
that does not learn keeps no input: the same bits, in less memory."""

import copy

import pytest
import torch
from tiny import build_pipeline
from torch import nn
from torch.utils.checkpoint import checkpoint

from uip2p.models import fast as speed
from uip2p.models.fast import ConvolutionLinear, FrugalConv2d, fast


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
    model = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2), nn.Conv1d(4, 4, 1))
    before = [type(part) for part in model.modules()]
    assert [type(part) for part in fast(model).modules()] == before
    monkeypatch.setattr(speed, "mkl_is_slow", lambda: True)
    names = list(model.state_dict())
    assert type(fast(model)[0]) is ConvolutionLinear
    assert list(model.state_dict()) == names
    assert type(model[1].out_proj) is not ConvolutionLinear  # MultiheadAttention reads its weights itself


class Kept:
    """What autograd keeps for backward, but for weights: bytes of storages of their own."""

    def __init__(self, *modules):
        self.weights = {p.untyped_storage().data_ptr() for module in modules for p in module.parameters()}
        self.tensors = {}

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error):
        self.hooks.__exit__(*error)

    def _keep(self, tensor):
        if tensor.untyped_storage().data_ptr() not in self.weights:
            self.tensors[tensor.untyped_storage().data_ptr()] = tensor  # kept alive, so that no address is used again
        return tensor

    @property
    def bytes(self):
        return sum(tensor.untyped_storage().nbytes() for tensor in self.tensors.values())


def frozen(layer):
    """(a plain layer, ours of the same weights), neither of which learns."""
    plain = layer.requires_grad_(False).to(memory_format=torch.channels_last)
    ours = copy.deepcopy(plain)
    ours.__class__ = ConvolutionLinear if type(plain) is nn.Linear else FrugalConv2d
    return plain, ours


CONVOLUTIONS = {
    "3 × 3": dict(kernel_size=3, padding=1),
    "1 × 1": dict(kernel_size=1),
    "no bias": dict(kernel_size=3, bias=False),
    "down": dict(kernel_size=3, stride=2, padding=1),
    "patches": dict(kernel_size=5, stride=5),
    "groups, dilated, two sides": dict(kernel_size=(3, 2), stride=(2, 1), padding=(0, 2), dilation=(1, 2), groups=2),
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("side", [17, 18])
def test_a_frozen_convolution_keeps_no_input_and_gives_the_same_bits(options, side):
    torch.manual_seed(0)
    x = torch.randn(2, 8, side, side + 2)
    found = []
    for layer in frozen(nn.Conv2d(8, 16, **options)):
        given = x.clone().requires_grad_()
        with Kept(layer) as kept:
            out = layer(given.sin())  # a tensor of its own, which nothing but the layer might keep
        out.square().sum().backward()
        found.append((out, given.grad, kept.bytes))
    (out, grad, kept), (ours, our_grad, our_kept) = found
    assert out.equal(ours) and grad.equal(our_grad)
    assert kept - our_kept == x.nbytes, "sin keeps x, torch's layer sin(x), ours nothing"


def test_a_frozen_product_keeps_no_input():
    torch.manual_seed(0)
    x, found = torch.randn(2, 2048, 128), []
    for layer in frozen(nn.Linear(128, 1024)):
        given = x.clone().requires_grad_()
        with Kept(layer) as kept:
            out = layer(given.sin())
        out.square().sum().backward()
        found.append((out, given.grad, kept.bytes))
    (out, grad, kept), (ours, our_grad, our_kept) = found
    assert "FrozenProduct" in str(ours.grad_fn) and kept == our_kept == x.nbytes, "sin's own"
    torch.testing.assert_close(ours, out, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(our_grad, grad, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("way", ["twice", "checkpointed", "in half precision", "without gradients"])
def test_a_frozen_convolution_however_it_is_run(way):
    torch.manual_seed(0)
    x, found = torch.randn(2, 8, 16, 16), []
    for layer in frozen(nn.Conv2d(8, 8, 3, padding=1)):
        given = x.clone().requires_grad_()
        if way == "twice":
            out = layer(layer(given).relu())
        elif way == "checkpointed":
            out = checkpoint(lambda x, layer=layer: layer(layer(x).relu()), given, use_reentrant=False)
        elif way == "in half precision":
            with torch.autocast("cpu", torch.bfloat16):
                out = layer(given)
        else:
            with torch.no_grad():
                out = layer(given)
            assert out.grad_fn is None
            out = given * out
        out.float().square().sum().backward()
        found.append((out, given.grad))
    (out, grad), (ours, our_grad) = found
    assert out.dtype == ours.dtype and out.equal(ours) and grad.dtype == our_grad.dtype and grad.equal(our_grad)


def test_what_learns_is_torchs_own():
    layer = fast(nn.Conv2d(8, 8, 3))
    layer.bias.requires_grad_(False)
    layer(torch.randn(1, 8, 8, 8, requires_grad=True)).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    layer.weight.requires_grad_(False)
    assert "Frozen" in str(layer(torch.randn(1, 8, 8, 8, requires_grad=True)).grad_fn)
    assert type(fast(nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"))) is nn.Conv2d
    assert type(fast(nn.Conv2d(8, 8, 3, padding="same"))) is nn.Conv2d


def test_decoding_keeps_less_and_gives_the_same_gradient():
    """Of a whole decoder: what is in front of each convolution is kept no more."""
    torch.manual_seed(0)
    vae = build_pipeline().vae.requires_grad_(False).to(memory_format=torch.channels_last)
    found = []
    for decoder in (copy.deepcopy(vae), fast(vae)):
        z = torch.ones(1, 4, 8, 8, requires_grad=True)
        with Kept(decoder) as kept:
            out = decoder.decode(z).sample
        out.square().sum().backward()
        found.append((out, z.grad, kept.bytes))
    (out, grad, kept), (ours, our_grad, our_kept) = found
    assert out.equal(ours) and grad.equal(our_grad) and our_kept < 0.75 * kept
