import pytest
import torch

from uip2p.models.miniature import UnetConfig, build_unet
from uip2p.models.widen import widen_conv_in


def test_until_trained_the_widened_unet_ignores_the_picture_and_draws_as_before():
    torch.manual_seed(0)
    unet = build_unet(UnetConfig(widths=(16, 32), attention=(False, True), heads=2, norm_groups=8), 4, 8, 16).eval()
    z, t, states = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.randn(2, 5, 16)
    before = unet(z, t, states).sample
    wide = widen_conv_in(unet)
    assert wide.config.in_channels == 8 and wide.conv_in.weight.shape[1] == 8
    assert torch.equal(wide(torch.cat([z, torch.randn_like(z)], 1), t, states).sample, before)
    assert widen_conv_in(wide).conv_in.weight is wide.conv_in.weight  # already wide: left alone


def test_other_inputs_are_refused():
    unet = build_unet(UnetConfig(widths=(16, 32), attention=(False, True), heads=2, norm_groups=8), 4, 8, 16)
    unet.register_to_config(in_channels=5)
    with pytest.raises(ValueError, match="5 channels"):
        widen_conv_in(unet)
