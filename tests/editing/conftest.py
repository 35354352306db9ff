"""A tiny encoder that reads the world's words: the real class in a real folder, random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import vocabulary


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    torch.manual_seed(2)
    config = ClipConfig(
        tiny.SIZE, width=16, layers=1, heads=2, text_width=16, text_layers=1, text_heads=2, embedding=16
    )
    folder = tmp_path_factory.mktemp("models") / "encoder"
    build_clip(config, build_tokenizer(vocabulary())).save(folder)
    return folder


@pytest.fixture
def picture(photo, tmp_path) -> Path:
    photo.save(tmp_path / "in.png")
    return tmp_path / "in.png"
