"""Tiny frozen encoders in the layouts of the published ones, random weights, and twenty edits for them to look at."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, ViTConfig, ViTModel

from uip2p.evaluate.meter import Judged
from uip2p.models.clip import Clip
from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import caption, vocabulary
from uip2p.scenes.photos import BUNDLED
from uip2p.scenes.render import render
from uip2p.scenes.tones import apply_tone
from uip2p.scenes.vocabulary import TONES
from uip2p.scenes.world import World

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTO_WIDTHS = (100, 128, 141, 301, 96, 111, 90)  # larger and smaller than what encoders see


def build_openai_clip(folder: Path) -> Path:
    """A CLIP of 224 pixels with OpenAI's mean and deviation, that reads the world's words."""
    torch.manual_seed(5)
    tokenizer = build_tokenizer(vocabulary(), max_length=77)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=77, projection_dim=24, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id, **sizes,
    )  # fmt: skip
    vision = CLIPVisionConfig(image_size=224, patch_size=32, projection_dim=24, **sizes)
    settings = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24)
    model = sharp(CLIPModel(settings))
    Clip(model, tokenizer, OPENAI_MEAN, OPENAI_STD).save(folder)
    return folder


def build_dino(folder: Path, image_size: int = 224) -> Path:
    torch.manual_seed(6)
    config = ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, patch_size=32,
        image_size=image_size,
    )  # fmt: skip
    sharp(ViTModel(config, add_pooling_layer=False)).save_pretrained(folder, safe_serialization=True)
    return folder


def sharp(model):
    """Random weights barely tell pictures apart; these do, so that a wrong crop or filter shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "position" not in name and "token" not in name:
                parameter.mul_(3)
    return model


def build_alexnet(file: Path) -> Path:
    """A state dict as torchvision publishes it: names and shapes of its convolutions, and a classifier."""
    random = torch.Generator().manual_seed(7)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    tensors = {}
    for number, shape in shapes.items():
        fan_in = shape[1] * shape[2] * shape[3]
        tensors[f"features.{number}.weight"] = torch.randn(shape, generator=random) * (2 / fan_in) ** 0.5
        tensors[f"features.{number}.bias"] = 0.1 * torch.randn(shape[0], generator=random)
    tensors["classifier.6.bias"] = torch.zeros(1000)
    save_file(tensors, file)
    return file


@cache
def twenty() -> tuple[Judged, ...]:
    """scikit-image's photographs and drawn scenes in another tone, beside outputs of another tone and another size."""
    photos = [load(Path(skimage.__file__).parent / "data" / name, width)
              for name, width in zip(BUNDLED, PHOTO_WIDTHS, strict=True)]  # fmt: skip
    world = World(3, "test")
    scenes = [world.edit(i).source for i in range(20 - len(photos))]
    sources = [*photos, *(render(scene, 64 + 7 * i) for i, scene in enumerate(scenes))]
    captions = [f"a {word} photo" for word in ("red", "blue", "green", "dark", "warm", "night", "bright")]
    captions += [caption(scene, world.edit(i).wording) for i, scene in enumerate(scenes)]
    return tuple(judged(i, source, told) for i, (source, told) in enumerate(zip(sources, captions, strict=True)))


def judged(number: int, source: np.ndarray, told: str) -> Judged:
    tones = [tone for tone in TONES if tone != "plain"]
    tone, other = tones[number % 6], tones[(number + 1) % 6]
    target = Image.fromarray(apply_tone(source, tone))
    output = Image.fromarray(apply_tone(source, other)).resize((target.width * 4 // 5, target.height * 4 // 5))
    mask = np.zeros((target.height, target.width), bool)
    mask[target.height // 4 : target.height // 2, target.width // 3 :] = True
    return Judged(f"{number}/{number}_1", output, Image.fromarray(source), target, mask, told, f"{told} at {tone}")


def load(path: Path, width: int) -> np.ndarray:
    picture = Image.open(path).convert("RGB")
    return np.asarray(picture.resize((width, picture.height * width // picture.width), Image.Resampling.LANCZOS))
