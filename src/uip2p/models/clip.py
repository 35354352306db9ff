"""The frozen image-text encoder E: transformers' CLIPModel behind two functions, differentiable in the picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig
from transformers.image_processing_utils import BaseImageProcessor

from uip2p.errors import UserError
from uip2p.models import hub
from uip2p.models.fast import fast
from uip2p.models.folder import quiet
from uip2p.models.reading import tokenize


class Clip(nn.Module):
    """E of the paper. Pictures are float [B, 3, H, W] in [-1, 1] of any size; embeddings are [B, D] of length 1.

    Resizing and normalisation happen here, in tensors, so that gradients reach the picture.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.image_size = model.config.vision_config.image_size
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def embed_images(self, pictures: Tensor) -> Tensor:
        """pictures [B, 3, H, W] in [-1, 1] → [B, D], unit length."""
        return self.embed_patches(pictures)[0]

    def embed_patches(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """pictures [B, 3, H, W] in [-1, 1] → the pictures' embeddings [B, D], and their patches' last states [B, P, W],
        both unit length. The pictures' are aligned with texts; the patches' say what is where, in no words."""
        output = self.model.vision_model(pixel_values=self.inputs(pictures))
        whole = self.model.visual_projection(output.pooler_output).float()
        patches = self.model.vision_model.post_layernorm(output.last_hidden_state[:, 1:]).float()
        return F.normalize(whole, dim=-1), F.normalize(patches, dim=-1)

    def inputs(self, pictures: Tensor) -> Tensor:
        """What the vision transformer is given: the pictures in its size, normalised."""
        if pictures.shape[-1] != self.image_size or pictures.shape[-2] != self.image_size:
            size = (self.image_size, self.image_size)
            pictures = F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False)
        return ((pictures + 1) / 2 - self.mean) / self.std

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts → [B, D], unit length. Longer texts than the encoder reads are cut, as CLIP does."""
        # No mask for the padding: it comes after the end token, whose state is taken, and the encoder looks back only.
        encoder = self.model.text_model
        pooled = encoder(input_ids=tokenize(self.tokenizer, encoder, texts).to(self.mean.device)).pooler_output
        return F.normalize(self.model.text_projection(pooled).float(), dim=-1)

    def text_encoder(self) -> CLIPTextModel:
        """A copy of E's text half, to train with: the text encoder that a Stable Diffusion pipeline takes."""
        text = CLIPTextModel(self.model.config.text_config)
        text.load_state_dict(self.model.text_model.state_dict())
        return text.to(self.mean.device)

    def freeze(self) -> Clip:
        """Evaluation mode, no gradient to the weights. Gradients still reach the pictures."""
        return fast(self.eval().requires_grad_(False))

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)
        size = self.image_size
        processor = {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "resample": 3,
            "size": {"shortest_edge": size},
            "do_center_crop": True,
            "crop_size": {"height": size, "width": size},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": self.mean.flatten().tolist(),
            "image_std": self.std.flatten().tolist(),
        }
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")


class LatentClip(Clip):
    """E ∘ D as one network: where `Clip` takes pictures, it takes their scaled latents z, float [B, C, h, w] of one
    size, so that a loss looks at an edit without decoding it (Latent-CLIP, arXiv 2503.08455).

    The text half is that of the CLIP it learned from (`build_latent_clip`), so embeddings of both can be compared.
    """

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer):
        super().__init__(model, tokenizer, mean=(0.0,), std=(1.0,))

    def inputs(self, pictures: Tensor) -> Tensor:
        side = self.image_size
        wanted = (self.model.config.vision_config.num_channels, side, side)
        if pictures.shape[1:] != wanted:
            raise UserError(
                f"this CLIP reads latents of shape {list(wanted)} and was given {list(pictures.shape[1:])}. It is a "
                "loss encoder for the autoencoder and data.size of its training: use those, or train another "
                "(objective latent-clip)."
            )
        return pictures

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)


def build_latent_clip(teacher: Clip, channels: int, side: int) -> LatentClip:
    """A LatentClip for latents [B, channels, side, side], to be trained: the teacher with a new patch embedding.

    The latents are cut into as many patches as the pictures were, so that every other weight has its meaning already
    (Instruct-CLIP, arXiv 2503.18406, starts its encoder of latents from DINOv2 in this way). The caller seeds torch.
    UserError: they cannot be cut so.
    """
    settings = CLIPConfig.from_dict(teacher.model.config.to_dict())
    vision = settings.vision_config
    grid = vision.image_size // vision.patch_size
    if side % grid:
        raise UserError(
            f"latents of {side} × {side} cannot be cut into {grid} × {grid} patches as this CLIP cuts its pictures: "
            f"choose data.size so that a latent's side is a multiple of {grid}."
        )
    vision.num_channels, vision.image_size, vision.patch_size = channels, side, side // grid
    model = CLIPModel(settings)
    known = {name: value for name, value in teacher.model.state_dict().items() if "patch_embedding" not in name}
    model.load_state_dict(known, strict=False)
    return LatentClip(model, teacher.tokenizer)


def reads_latents(config: CLIPConfig) -> bool:
    return config.vision_config.num_channels != 3


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """Shape of a small CLIP. Patch, widths and depths as in transformers' CLIPVisionConfig and CLIPTextConfig."""

    image_size: int = 64
    patch_size: int = 8
    width: int = 128
    layers: int = 5
    heads: int = 4
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 4
    embedding: int = 128


def text_config(tokenizer: CLIPTokenizer, width: int, layers: int, heads: int, embedding: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=embedding,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_clip(config: ClipConfig, tokenizer: CLIPTokenizer) -> Clip:
    """A CLIP with random weights; the caller seeds torch."""
    text = text_config(tokenizer, config.text_width, config.text_layers, config.text_heads, config.embedding)
    vision = CLIPVisionConfig(
        hidden_size=config.width,
        intermediate_size=4 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        projection_dim=config.embedding,
    )
    model = CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=config.embedding)
    )
    positions = model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        positions[1:] = wave_positions(config.image_size // config.patch_size, config.width)
    return Clip(model, tokenizer, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def wave_positions(side: int, width: int, amplitude: float = 0.2) -> Tensor:
    """Sines and cosines of the row and of the column of each patch: [side², width], to start position embeddings from.

    From the usual random start of 0.02, small beside the patches' 0.16, a small CLIP never learns where things are;
    from these it does within a hundred steps (docs/experiments.md).
    """
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    frequency = 100.0 ** -(torch.arange(width // 4) / (width // 4))
    angles = [place.flatten()[:, None] * frequency for place in (row, column)]
    return amplitude * torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def load_clip(folder: str | Path, device: str | torch.device = "cpu") -> Clip:
    """A frozen Clip from a folder or hub id of a transformers CLIPModel with its tokenizer and image processor; a
    LatentClip from one that `LatentClip.save` wrote.

    fp16 weights on disk become fp32. Raises UserError if the folder is not a CLIP.
    """
    if not Path(folder).is_dir() and hub.is_hub_id(str(folder)):
        folder = hub.download(str(folder), ["*.json", "merges.txt", "model.safetensors"])
    try:
        with quiet():
            model, found = CLIPModel.from_pretrained(
                str(folder), dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
            if missing := found["missing_keys"]:
                raise UserError(f"{folder}: the tensor '{min(missing)}' is missing. Copy or export the CLIP again.")
            tokenizer = CLIPTokenizer.from_pretrained(str(folder))
            if reads_latents(model.config):
                return cast(LatentClip, LatentClip(model, tokenizer).freeze().to(device))
            processor, _ = BaseImageProcessor.get_image_processor_dict(str(folder))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: not a CLIP folder that transformers can load ({error}).") from error
    return Clip(model, tokenizer, processor["image_mean"], processor["image_std"]).freeze().to(device)
