"""What is measured: the cycle's networks in Stable Diffusion 1.5's shape with random weights, or the miniature's own; a
batch for them, as pictures and texts and as a cache has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from uip2p.learning.recipes import SHIPPED
from uip2p.models import full_size
from uip2p.models.clip import Clip, load_clip
from uip2p.models.folder import load_pipeline
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.lora import LoraConfig
from uip2p.models.widen import widen_conv_in

WORDS = {
    "caption": "a red car",
    "instruction": "make the car blue",
    "edited_caption": "a blue car",
    "reverse_instruction": "make the car red",
}


@dataclass
class Models:
    """tiny: the small decoder of the lean step; None where the editor's own is small already. size: of pictures."""

    editor: LatentEditor
    clip: Clip
    tiny: AutoencoderTiny | None
    size: int


def miniature(device: str = "cpu") -> Models:
    p = load_pipeline("mini-base")
    editor = LatentEditor(widen_conv_in(p.unet), p.vae, p.text_encoder, p.tokenizer, p.scheduler)
    return Models(editor.to(device), load_clip(SHIPPED["clip"]).freeze().to(device), None, 64)


def full(device: str = "cpu", size: int = 256, rank: int = 64) -> Models:
    """rank: LoRA's; 0: the whole UNet learns."""
    torch.manual_seed(0)
    with torch.device(device):
        editor = LatentEditor(
            full_size.sd15_unet(), full_size.sd_autoencoder(), full_size.clip_l_text(), full_size.tokenizer(),
            full_size.scheduler(), lora=LoraConfig(rank=rank),
        )  # fmt: skip
        tiny = full_size.tiny_decoder().eval().requires_grad_(False)
        clip = full_size.clip_l().freeze()
    return Models(editor.to(device), clip.to(device), tiny, size)


def rows_of(models: Models, batch: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (batch, models.size, models.size, 3), dtype=np.uint8)
    return [{"image": picture, **WORDS} for picture in pictures]


def pixels(rows: list[dict], device: Any) -> Tensor:
    """[B, 3, H, W] in [-1, 1]."""
    stacked = torch.from_numpy(np.stack([row["image"] for row in rows])).to(device)
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def cached(models: Models, rows: list[dict]) -> tuple[list[dict], dict[str, Any]]:
    """The rows as our cache gives them (in fp32, so that a gate can be strict), and the same as a user's own."""
    editor, clip = models.editor, models.clip
    x = pixels(rows, editor.device)
    mean, std = editor.posterior(x)
    told = {key: editor.read([row[key] for row in rows]) for key in ("instruction", "reverse_instruction")}
    image = clip.embed_images(x)
    texts = {key: clip.embed_texts([row[key] for row in rows]) for key in ("caption", "edited_caption")}
    ours = []
    for i, row in enumerate(rows):
        extra = {
            "latent_mean": mean[i],
            "latent_std": std[i],
            "clip_image": image[i][None],
            "clip_caption": texts["caption"][i][None],
            "clip_edited": texts["edited_caption"][i][None],
        }
        for key, reading in told.items():
            extra |= {f"{key}/states": reading.states[i], f"{key}/content": reading.content[i]}
        ours.append({**row, **{name: value.cpu().numpy() for name, value in extra.items()}})
    theirs = {"mean": mean, "std": std, "forward": told["instruction"], "reverse": told["reverse_instruction"]}
    return ours, theirs | {"image": image, "caption": texts["caption"], "edited": texts["edited_caption"]}
