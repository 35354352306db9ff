"""The latent diffusion stack at small size: diffusers' and transformers' own classes, random weights, our shapes."""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from uip2p.models.clip import text_config


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """widths: channels at full, half and quarter resolution; the latents are a quarter of the picture's side."""

    widths: tuple[int, ...] = (16, 32, 64)
    layers: int = 1
    latent_channels: int = 4
    image_size: int = 64


@dataclass(frozen=True, slots=True)
class UnetConfig:
    """widths: channels a level. attention: which levels have self- and cross-attention. heads: of each attention."""

    widths: tuple[int, ...] = (64, 128, 128)
    attention: tuple[bool, ...] = (False, True, True)
    layers: int = 1
    heads: int = 4
    norm_groups: int = 16


@dataclass(frozen=True, slots=True)
class TextConfig:
    width: int = 128
    layers: int = 2
    heads: int = 4


def build_autoencoder(config: AutoencoderConfig) -> AutoencoderKL:
    blocks = len(config.widths)
    return AutoencoderKL(
        block_out_channels=config.widths,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=config.layers,
        latent_channels=config.latent_channels,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=config.image_size,
    )


def build_unet(config: UnetConfig, latent_channels: int, latent_size: int, text_width: int) -> UNet2DConditionModel:
    """A text-to-image UNet: `in_channels` equals the latent's. `models.widen` makes it an editor."""
    kinds = ["CrossAttn" if has else "" for has in config.attention]
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=config.widths,
        down_block_types=[f"{kind}DownBlock2D" for kind in kinds],
        up_block_types=[f"{kind}UpBlock2D" for kind in reversed(kinds)],
        layers_per_block=config.layers,
        cross_attention_dim=text_width,
        attention_head_dim=config.heads,  # diffusers' name for the number of heads here
        norm_num_groups=config.norm_groups,
    )


def build_text_encoder(config: TextConfig, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(text_config(tokenizer, config.width, config.layers, config.heads, config.width))


def build_scheduler(prediction_type: str = "v_prediction") -> DDIMScheduler:
    """Stable Diffusion's noise schedule. Trailing steps start at t = 999, so that few steps see pure noise first."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        prediction_type=prediction_type,
        clip_sample=False,
        set_alpha_to_one=False,
        timestep_spacing="trailing",
    )
