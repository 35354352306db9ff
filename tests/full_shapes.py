"""Editors in the shape that other programs know: names and shapes alone, without the gigabytes, or random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from uip2p.models.original_layout import to_original
from uip2p.models.parts import Parts
from uip2p.models.settings import Settings

UNETS = {
    "sd15": {"cross_attention_dim": 768, "attention_head_dim": 8, "block_out_channels": (320, 640, 1280, 1280)},
    "sdxl": {
        "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True, "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
    },
}  # fmt: skip


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, layers_per_block=2, sample_size=64,
    )  # fmt: skip


def clip_l() -> CLIPTextModel:
    return CLIPTextModel(CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768,
        bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
    ))  # fmt: skip


def full_size(kind: str) -> dict[str, tuple[int, ...]]:
    """kind: "sd15" or "sdxl". Tensor name → shape, as `uip2p export --format single` writes an 8-channel editor."""
    with FakeTensorMode():
        unet = UNet2DConditionModel(sample_size=64, in_channels=8, out_channels=4, **UNETS[kind])
        parts: dict[str, Any] = {"unet": unet, "vae": autoencoder(), "text_encoder": clip_l()}
        if kind == "sdxl":
            parts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(
                hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                projection_dim=1280,
            ))  # fmt: skip
        return {name: tuple(tensor.shape) for name, tensor in to_original(parts).items()}


def random_sd15(words: Path, unet_shape: dict[str, Any]) -> Parts:
    """An editor at 64 pixels. words: a folder with CLIP's vocab.json and merges.txt. Its numbers are those of fp16, so
    that it is the same editor in either precision."""
    torch.manual_seed(0)
    unet, vae, text = UNet2DConditionModel(sample_size=8, in_channels=8, **unet_shape), autoencoder(), clip_l()
    with torch.no_grad():  # random weights barely listen; make the text and the picture matter
        for name, parameter in unet.named_parameters():
            if "attn2" in name or "conv_in" in name:
                parameter.mul_(3)
    for network in (unet, vae, text):
        network.half().float().eval().requires_grad_(False)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, timestep_spacing="linspace",
    )  # fmt: skip
    return Parts(unet, vae, text, CLIPTokenizer.from_pretrained(words), scheduler, Settings(image_size=64), "random")
