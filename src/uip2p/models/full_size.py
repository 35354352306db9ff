"""The shapes of the published models, as diffusers and transformers classes with random weights: for plans before
anything is downloaded, and for measurements where nothing can be."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from uip2p.models.clip import Clip
from uip2p.models.miniature import build_scheduler
from uip2p.models.tokenizer import build_tokenizer

TOKENS = 77  # a text's, in every CLIP


def tokenizer() -> Any:
    """Of the right length; its words are nobody's, as no weight knows any."""
    return build_tokenizer(("a", "picture"), max_length=TOKENS)


def sd15_unet(channels: int = 8) -> UNet2DConditionModel:
    """859.5 M parameters."""
    return UNet2DConditionModel(sample_size=64, in_channels=channels, cross_attention_dim=768, attention_head_dim=8)


def sdxl_unet(channels: int = 8) -> UNet2DConditionModel:
    """2.57 G parameters."""
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=channels,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def sd_autoencoder(scaling_factor: float = 0.18215) -> AutoencoderKL:
    """Stable Diffusion's, and with 0.13025 SDXL's: 83.7 M parameters."""
    blocks = 4
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=scaling_factor,
    )


def tiny_decoder() -> AutoencoderTiny:
    """TAESD's: 1.2 M parameters a half."""
    return AutoencoderTiny()


def clip_l_text() -> CLIPTextModel:
    return CLIPTextModel(_text(768, 3072, 12, 12, "quick_gelu", 768))


def clip_g_text() -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(_text(1280, 5120, 32, 20, "gelu", 1280))


def clip_l() -> Clip:
    """CLIP ViT-L/14, pictures of 224 px."""
    text = _text(768, 3072, 12, 12, "quick_gelu", 768).to_dict()
    vision: dict[str, Any] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
        "projection_dim": 768,
    }
    config: Any = CLIPConfig(text_config=text, vision_config=vision, projection_dim=768)
    return Clip(CLIPModel(config), tokenizer(), (0.481, 0.458, 0.408), (0.269, 0.261, 0.276))


def scheduler() -> DDIMScheduler:
    return build_scheduler("epsilon")


def _text(width: int, inner: int, layers: int, heads: int, activation: str, projection: int) -> CLIPTextConfig:
    names: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": activation,
        "projection_dim": projection,
    }
    return CLIPTextConfig(**names)
