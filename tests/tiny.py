"""Real diffusers and transformers models at the smallest size, saved as real folders. Nothing here is a mock."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from uip2p.models.folder import Settings, save_settings
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.miniature import (
    AutoencoderConfig,
    TextConfig,
    UnetConfig,
    build_autoencoder,
    build_scheduler,
    build_text_encoder,
    build_unet,
)
from uip2p.models.tokenizer import build_tokenizer
from uip2p.models.widen import widen_conv_in
from uip2p.scenes.language import vocabulary

WORDS = ("add", "a", "the", "make", "car", "dog", "blue", "red", "remove", "to", "left", "and", "black", "white")
SIZE = 32  # pixels; the autoencoder halves it twice


def build_pipeline(seed: int = 0, prediction_type: str = "v_prediction") -> StableDiffusionInstructPix2PixPipeline:
    """An InstructPix2Pix pipeline with random weights: 32 pixels, 8 × 8 × 4 latents, some 100 000 parameters."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(WORDS, max_length=16)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, norm_num_groups=4, sample_size=SIZE,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=SIZE // 4, in_channels=8, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip
    with torch.no_grad():  # random weights barely listen; make the text and the picture matter
        for name, parameter in unet.named_parameters():
            if "attn2" in name or "conv_in" in name:
                parameter.mul_(3)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        prediction_type=prediction_type, timestep_spacing="trailing",
    )  # fmt: skip
    return StableDiffusionInstructPix2PixPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def build_xl_pipeline(seed: int = 0) -> StableDiffusionXLInstructPix2PixPipeline:
    """The same size, SDXL's classes: two text encoders, a pooled embedding, the picture's size."""
    small = build_pipeline(seed, "epsilon")
    tokenizer = build_tokenizer(WORDS, max_length=16)
    text = CLIPTextConfig(**{**small.text_encoder.config.to_dict(), "num_hidden_layers": 2})
    text_2 = CLIPTextConfig(**{**text.to_dict(), "hidden_size": 24, "intermediate_size": 48, "projection_dim": 20})
    unet = UNet2DConditionModel(
        sample_size=SIZE // 4, in_channels=8, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=40, attention_head_dim=(2, 2), norm_num_groups=4, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 20,
        transformer_layers_per_block=(1, 2),
    )  # fmt: skip
    return StableDiffusionXLInstructPix2PixPipeline(
        vae=small.vae, text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text_2),
        tokenizer=tokenizer, tokenizer_2=tokenizer, unet=unet, scheduler=small.scheduler,
        force_zeros_for_empty_prompt=True, add_watermarker=False,
    )  # fmt: skip


def build_editor(
    prediction_type: str = "v_prediction",
    train_text: bool = False,
    wide: bool = True,
    size: int = SIZE,
    seed: int = 0,
) -> LatentEditor:
    """The miniature's own stack at the smallest size: 4 latent channels, a quarter of the picture's side. It reads the
    world's words. wide: the UNet sees a picture."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(vocabulary(), max_length=32)
    unet = build_unet(UnetConfig((16, 32), (False, True), 1, 2, 8), 4, size // 4, 16)
    return LatentEditor(
        widen_conv_in(unet) if wide else unet, build_autoencoder(AutoencoderConfig((8, 8, 16), 1, 4, size)),
        build_text_encoder(TextConfig(width=16, layers=1, heads=2), tokenizer), tokenizer,
        build_scheduler(prediction_type), train_text,
    )  # fmt: skip


def save_folder(folder: Path, closed: bool = False, seed: int = 0) -> Path:
    """A stock pipeline folder with `uip2p.json`. closed: its vocabulary is WORDS."""
    build_pipeline(seed).save_pretrained(folder, safe_serialization=True)
    settings = Settings(
        image_size=SIZE, steps=3, guidance_scale=3.0, image_guidance_scale=1.5, vocabulary=WORDS if closed else None
    )
    save_settings(settings, folder)
    return folder


def build_tiny_decoder(seed: int = 0, blocks: int = 3) -> AutoencoderTiny:
    """It fits `build_pipeline`'s latents: 4 channels, a quarter of the picture's side."""
    torch.manual_seed(seed)
    return AutoencoderTiny(
        encoder_block_out_channels=(8,) * blocks, decoder_block_out_channels=(8,) * blocks,
        num_encoder_blocks=(1,) * blocks, num_decoder_blocks=(1,) * blocks,
    )  # fmt: skip
