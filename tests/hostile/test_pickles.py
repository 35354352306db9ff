"""Pickled weights are never loaded. The canary: a pickle that writes a file while it is read."""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from uip2p.cli import main
from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.models.folder import load_pipeline, load_tiny_decoder
from uip2p.models.single_file import save_single_file

BINS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "pytorch_model"}


class Canary:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path):
    """(bytes of the pickle, the folder that exists once it was loaded); it works."""
    sung = tmp_path / "sung"
    evil = pickle.dumps({"state_dict": Canary(sung)})
    pickle.loads(evil)
    sung.rmdir()
    return evil, sung


@pytest.mark.parametrize("part", BINS)
@pytest.mark.parametrize("alone", [True, False])
def test_in_a_folder(canary, tiny_copy, photo, tmp_path, capsys, part, alone):
    """Beside good weights it is passed over; in their place it is an error that says how to convert it."""
    evil, sung = canary
    weights = next((tiny_copy / part).glob("*.safetensors"))
    pickled = tiny_copy / part / f"{BINS[part]}.bin"
    pickled.write_bytes(evil)
    if alone:
        weights.unlink()
    photo.save(tmp_path / "in.png")
    code = main(["edit", str(tmp_path / "in.png"), "add a dog", "-o", str(tmp_path / "out.png"), "--model",
                 str(tiny_copy), "--device", "cpu"])  # fmt: skip
    assert not sung.exists()
    assert code == (2 if alone else 0)
    said = capsys.readouterr().err
    if alone:
        assert f"{pickled}: a pickle, which can run any code" in said and said.endswith(f"{pickled} {weights}\n")


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors", "model.pt", "model.bin"])
def test_as_a_single_file(canary, tmp_path, name):
    evil, sung = canary
    (tmp_path / name).write_bytes(evil)
    message = "cannot be read as safetensors" if name.endswith("safetensors") else "a pickle, which can run any code"
    for load in (Editor.from_pretrained, lambda path: Editor.from_pretrained("mini", "cpu", lora=path)):
        with pytest.raises(UserError, match=message):
            load(tmp_path / name)
    with pytest.raises(UserError):
        load_tiny_decoder(tmp_path / name)
    assert not sung.exists()


def test_the_command_that_the_error_gives_converts_a_good_one_and_runs_no_bad_one(canary, tiny_folder, tmp_path):
    parts, file = load_pipeline(tiny_folder), tmp_path / "model.safetensors"
    save_single_file(parts, file, torch.float32, {})
    torch.save({"state_dict": load_file(file), "epoch": 3}, tmp_path / "model.ckpt")
    file.unlink()
    with pytest.raises(UserError) as error:
        load_pipeline(tmp_path / "model.ckpt")
    command = shlex.split(str(error.value).partition("convert it: ")[2])
    command[0] = sys.executable
    subprocess.run(command, check=True)
    again = load_pipeline(file).unet.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in parts.unet.state_dict().items())
    evil, sung = canary
    (tmp_path / "model.ckpt").write_bytes(evil)
    assert subprocess.run(command, capture_output=True).returncode != 0 and not sung.exists()


def test_a_lora_that_is_a_pickle_by_its_content(canary, tiny_folder, tmp_path):
    """Named .bin, safetensors inside: the name decides, as diffusers' loader goes by it."""
    save_file({"unet.conv_in.lora_A.weight": torch.zeros(1)}, tmp_path / "lora.bin")
    with pytest.raises(UserError, match="a pickle"):
        Editor.from_pretrained(tiny_folder, "cpu", lora=tmp_path / "lora.bin")
