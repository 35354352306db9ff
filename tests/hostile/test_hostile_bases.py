"""`uip2p train --base` with what is no base: one line that names file and tensor, before anything is trained."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from uip2p.cli import main
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.tokenizer import build_tokenizer

UNET = "unet/diffusion_pytorch_model.safetensors"
ROW = {"caption": "a red car", "instruction": "make the car blue", "edited_caption": "a blue car",
       "reverse_instruction": "make the car red"}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A base of 4 channels, a loss encoder, and eight records."""
    root = tmp_path_factory.mktemp("bases")
    pipe = tiny.build_pipeline(prediction_type="epsilon")
    pipe.unet = type(pipe.unet).from_config({**pipe.unet.config, "in_channels": 4})
    pipe.save_pretrained(root / "base")
    clip = build_clip(ClipConfig(tiny.SIZE, 16, 16, 1, 2, 16, 1, 2, 16), build_tokenizer(tiny.WORDS, max_length=16))
    clip.save(root / "clip")
    (root / "data").mkdir()
    for number in range(8):
        Image.fromarray(np.full((tiny.SIZE, tiny.SIZE, 3), 30 * number, np.uint8)).save(root / f"data/{number}.png")
    rows = [json.dumps({"file_name": f"{number}.png", **ROW}) for number in range(8)]
    (root / "data/metadata.jsonl").write_text("\n".join(rows))
    return root


@pytest.fixture
def train(root, tmp_path, capsys):
    """Runs `uip2p train --recipe sd15-lora` with a base → what it says on stderr."""

    def train(base, *sets: str, code: int = 2) -> str:
        given = [f"data.size={tiny.SIZE}", f"model.clips=['{root / 'clip'}']", "model.tiny_decoder=''", "model.vae=''",
                 "train.steps=1", "train.batch_size=2", "train.micro_batch=2", "train.workers=0", "model.frozen=fp32",
                 "train.precision=fp32", "train.validation_batches=1", *sets]  # fmt: skip
        said = main(["train", "--recipe", "sd15-lora", "--data", str(root / "data"), "--base", str(base), "--out",
                     str(tmp_path / "run"), *(f"--set={each}" for each in given)])  # fmt: skip
        error = capsys.readouterr().err
        assert said == code, error
        if code:
            assert error.startswith("uip2p train: error: ") and error.count("\n") == 1
            assert not (tmp_path / "run/model").exists()
        return error

    return train


@pytest.fixture
def base(root, tmp_path):
    return shutil.copytree(root / "base", tmp_path / "base")


def widened(base, channels: int) -> None:
    tensors = load_file(base / UNET)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :1].repeat(1, channels, 1, 1).contiguous()
    save_file(tensors, base / UNET, {"format": "pt"})
    config = base / "unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "in_channels": channels}))


def test_four_channels_and_eight_are_bases(train, base):
    train(base, code=0)


def test_inpainting_and_other_numbers_of_channels(train, base):
    widened(base, 9)
    assert "unet/config.json: in_channels is 9: an inpainting model" in train(base)
    widened(base, 5)
    assert "in_channels 5, out_channels 4" in train(base)


def test_a_missing_and_a_misshaped_tensor(train, base, unplanned):
    tensors, name = load_file(base / UNET), "mid_block.resnets.0.conv1.weight"
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, base / UNET, {"format": "pt"})
    assert f"{UNET}: the tensor '{name}' is missing" in train(base)
    save_file({**tensors, name: torch.zeros(3, 5)}, base / UNET, {"format": "pt"})
    assert f"{UNET}: the tensor '{name}' has shape [3, 5] where config.json asks for [16, 16, 3, 3]" in train(base)


def test_pickles(train, base, unplanned):
    (base / UNET).unlink()
    (base / "unet/diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "diffusion_pytorch_model.bin: a pickle" in train(base)
    ckpt = base / "model.ckpt"
    ckpt.write_bytes(b"\x80\x04.")
    assert "model.ckpt: a pickle" in train(ckpt)


def test_what_is_not_there(train, base, tmp_path):
    assert "there is no such model" in train("nonsense")
    assert "no such file" in train(tmp_path / "nothing.safetensors")
    assert "the hub did not answer" in train("nobody/nothing")
    (base / "unet/config.json").unlink()
    assert "unet/config.json: this file is missing" in train(base)
    assert "no model_index.json" in train(tmp_path)


def test_a_file_that_is_no_model(train, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert "no Stable Diffusion in the original layout" in train(tmp_path / "x.safetensors")


def test_an_unknown_key_of_a_recipe(train, base):
    assert "unknown key 'stps'. Did you mean 'steps'?" in train(base, "train.stps=3")
    assert "unknown key 'lorra'. Did you mean 'lora'?" in train(base, "model.lorra.rank=3")
