"""A tiny editor and a tiny judge that read the world's words: real classes, real folders, random weights."""

import pytest
import torch
from frozen import build_alexnet, build_dino, build_openai_clip
from tiny import SIZE, build_editor

from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.folder import Settings, save_settings
from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import vocabulary


@pytest.fixture(scope="session")
def world_model(tmp_path_factory):
    """An untrained editor of 32 pixels that every instruction of the world can be given to."""
    editor = build_editor()
    torch.nn.init.normal_(editor.unet.conv_in.weight)  # widened at zero, it would not see the picture at all
    folder = tmp_path_factory.mktemp("models") / "world"
    editor.save(folder)
    save_settings(Settings(SIZE, steps=2, guidance_scale=2.0, image_guidance_scale=1.0), folder)
    return folder


@pytest.fixture(scope="session")
def judge(tmp_path_factory):
    torch.manual_seed(1)
    config = ClipConfig(SIZE, width=16, layers=1, heads=2, text_width=16, text_layers=1, text_heads=2, embedding=16)
    folder = tmp_path_factory.mktemp("models") / "judge"
    build_clip(config, build_tokenizer(vocabulary())).save(folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A CLIP in OpenAI's layout. Do not change it; the same of the two below."""
    return build_openai_clip(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture(scope="session")
def dino_folder(tmp_path_factory):
    return build_dino(tmp_path_factory.mktemp("encoders") / "dino")


@pytest.fixture(scope="session")
def alexnet(tmp_path_factory):
    return build_alexnet(tmp_path_factory.mktemp("encoders") / "alexnet.safetensors")


@pytest.fixture(scope="session")
def models(clip_folder, dino_folder, alexnet):
    """As the command line names them."""
    return {"clip": str(clip_folder), "dino": str(dino_folder), "lpips": str(alexnet)}
