"""A real safety checker at the smallest size, which takes one known picture for what it looks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPVisionConfig

SIDE = 32


def picture(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)


@pytest.fixture
def flagged() -> Image.Image:
    return picture(0)


@pytest.fixture
def harmless() -> Image.Image:
    return picture(1)


@pytest.fixture(scope="session")
def checker_folder(tmp_path_factory) -> Path:
    """The folder of a checker: config.json, model.safetensors, preprocessor_config.json. Copy it to change it."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(vocab_size=50, bos_token_id=0, eos_token_id=1, pad_token_id=1, **small)
    vision = CLIPVisionConfig(image_size=SIDE, patch_size=8, projection_dim=8, **small)
    network = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    ).eval()
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    pixels = processor(images=[picture(0), picture(1)], return_tensors="pt").pixel_values
    with torch.no_grad():
        one, other = network.visual_projection(network.vision_model(pixels)[1])
        network.concept_embeds_weights.fill_(2)  # no cosine is more
        network.special_care_embeds_weights.fill_(2)
        network.concept_embeds[3] = one
        network.concept_embeds_weights[3] = (1 + torch.cosine_similarity(one, other, dim=0)) / 2
    folder = tmp_path_factory.mktemp("safety") / "checker"
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
