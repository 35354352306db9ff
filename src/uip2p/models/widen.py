"""From a text-to-image UNet to InstructPix2Pix's: twice the input channels, the new ones starting at zero."""

from __future__ import annotations

from typing import cast

import torch
from diffusers import UNet2DConditionModel
from torch import nn


def widen_conv_in(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """In place: `conv_in` takes noisy latent ⊕ image latent. Copied for the first half, zero for the second.

    Until it is trained, the widened UNet gives exactly what the narrow one gave, whatever the image latent. A UNet
    that is already wide (in_channels = 2 × out_channels) is returned as it is.
    """
    latent = unet.config.out_channels
    if unet.config.in_channels == 2 * latent:
        return unet
    if unet.config.in_channels != latent:
        raise ValueError(f"conv_in takes {unet.config.in_channels} channels, expected {latent} or {2 * latent}")
    old = unet.conv_in
    wide = nn.Conv2d(2 * latent, old.out_channels, old.kernel_size, old.stride, old.padding)
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, :latent] = old.weight
        cast(nn.Parameter, wide.bias).copy_(old.bias)
    unet.conv_in = wide.to(old.weight.device, old.weight.dtype)
    unet.register_to_config(in_channels=2 * latent)
    return unet
