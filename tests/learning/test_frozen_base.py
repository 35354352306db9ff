"""The frozen base's directional prior: delta denoising with its own faults cancelled."""

import torch
from tiny import build_editor

from uip2p.learning.diffusion import add_noise
from uip2p.learning.frozen_base import FrozenBase

T = torch.tensor([300, 700])
CAPTIONS, EDITED = ["a red car", "a dog"], ["a blue car", "a cat"]


def parts():
    editor = build_editor()
    with torch.no_grad():
        editor.unet.conv_out.weight.mul_(3)
    generator = torch.Generator().manual_seed(0)
    z, z_e, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(3))
    return editor, FrozenBase(editor), z, z_e, noise


def test_an_unchanged_picture_with_an_unchanged_caption_is_right_whatever_the_base_thinks_of_it():
    editor, base, z, z_e, noise = parts()
    assert base.direction_loss(editor, z, z.clone(), CAPTIONS, CAPTIONS, T, noise, 1.0).max() < 1e-9
    assert base.direction_loss(editor, z, z_e, CAPTIONS, CAPTIONS, T, noise, 1.0).min() > 1e-3


def test_the_gradient_is_what_the_base_would_change_in_the_edit_beyond_the_source():
    editor, base, z, z_e, noise = parts()
    z_e.requires_grad_()
    base.direction_loss(editor, z, z_e, CAPTIONS, EDITED, T, noise, 1.0).sum().backward()

    def change(clean, captions):
        with torch.no_grad():
            return clean - base.estimate(editor, add_noise(clean, noise, editor.alpha_bar, T), T, captions, 1.0)

    expected = (change(z_e, EDITED) - change(z, CAPTIONS)) / z[0].numel()
    assert torch.allclose(z_e.grad, expected, atol=1e-6) and expected.abs().max() > 1e-4


def test_it_keeps_its_opinion_while_the_editor_learns():
    editor, base, _, _, noise = parts()
    before = base.estimate(editor, noise, T, CAPTIONS, 1.0)
    with torch.no_grad():
        for parameter in editor.unet.parameters():
            parameter.add_(0.1)
    assert torch.equal(base.estimate(editor, noise, T, CAPTIONS, 1.0), before)
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert not torch.allclose(base.estimate(editor, noise, T, CAPTIONS, 3.0), before)  # guidance says more
