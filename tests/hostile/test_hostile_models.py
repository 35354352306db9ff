"""Bad model folders and instructions through the real command: the file, the tensor, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from uip2p.cli import main
from uip2p.models.folder import load_pipeline

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def edit(photo, tmp_path, capsys):
    """Runs `uip2p edit` with a model -> stderr, after the checks that every error has to pass."""
    photo.save(tmp_path / "in.png")

    def edit(model: Path | str, instruction: str = "add a dog") -> str:
        out = tmp_path / "out.png"
        args = ["edit", str(tmp_path / "in.png"), instruction, "-o", str(out), "--model", str(model), "--device", "cpu"]
        code = main(args)
        stderr = capsys.readouterr().err
        assert code == 2 and not out.exists() and stderr.startswith("uip2p edit: error: ") and stderr.count("\n") == 1
        return stderr

    return edit


def change(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_missing_tensor(edit, tiny_copy, part):
    path = tiny_copy / part / WEIGHTS[part]
    tensors = load_file(path)
    name = sorted(tensors)[len(tensors) // 2]
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    stderr = edit(tiny_copy)
    assert f"{part}/{WEIGHTS[part]}: the tensor '{name}' is missing" in stderr and "Copy or export the model" in stderr


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_wrong_shaped_tensor(edit, tiny_copy, part):
    path = tiny_copy / part / WEIGHTS[part]
    tensors = load_file(path)
    name = sorted(tensors)[len(tensors) // 2]
    shape = list(tensors[name].shape)
    tensors[name] = torch.zeros(3, 5)
    save_file(tensors, path, metadata={"format": "pt"})
    stderr = edit(tiny_copy)
    assert f"{part}/{WEIGHTS[part]}: the tensor '{name}' has shape [3, 5] where config.json asks for {shape}" in stderr


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_truncated_weight_file(edit, tiny_copy, part):
    path = tiny_copy / part / WEIGHTS[part]
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{part}/{WEIGHTS[part]}: cannot be loaded" in edit(tiny_copy)


@pytest.mark.parametrize(
    "file",
    ["model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
     "scheduler/scheduler_config.json", "tokenizer/tokenizer.json",
     *(f"{part}/{file}" for part, file in WEIGHTS.items())],
)  # fmt: skip
def test_a_missing_file(edit, tiny_copy, file):
    for path in tiny_copy.glob(file.replace("tokenizer.json", "*")):
        path.unlink()
    stderr = edit(tiny_copy)
    assert file.replace("tokenizer.json", "vocab.json") in stderr
    assert "missing" in stderr or "no model_index.json" in stderr


def test_pickled_weights_are_not_read(edit, tiny_copy):
    path = tiny_copy / "unet" / WEIGHTS["unet"]
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    stderr = edit(tiny_copy)
    assert f"{path.with_suffix('.bin')}: a pickle" in stderr and stderr.endswith(f"{path}\n")


def test_broken_json(edit, tiny_copy):
    for file in ("uip2p.json", "unet/config.json"):
        (tiny_copy / file).write_text("{ nonsense")
        assert f"{file}: not readable JSON" in edit(tiny_copy)


def test_an_unknown_key_in_the_settings(edit, tiny_copy):
    change(tiny_copy / "uip2p.json", guidance=3)
    stderr = edit(tiny_copy)
    assert "uip2p.json: unknown key 'guidance'" in stderr
    assert "guidance_scale" in stderr and "correct or remove" in stderr


@pytest.mark.parametrize(
    "key, value, message",
    [("steps", 0, "a whole number above 0"), ("steps", "ten", "a whole number"), ("image_size", None, "whole number"),
     ("vocabulary", "dog", "null or a list of words"), ("vocabulary", [], "null or a list"),
     ("guidance_scale", -1, "a number from 0")],
)  # fmt: skip
def test_a_bad_value_in_the_settings(edit, tiny_copy, key, value, message):
    change(tiny_copy / "uip2p.json", **{key: value})
    stderr = edit(tiny_copy)
    assert f"'{key}' is {value!r}" in stderr and message in stderr


def test_a_text_to_image_model(edit, tiny_copy):
    path = tiny_copy / "unet" / WEIGHTS["unet"]
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :4].contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    change(tiny_copy / "unet" / "config.json", in_channels=4)
    assert load_pipeline(tiny_copy).unet.config.in_channels == 4  # a base to train from …
    assert "draws from text alone" in edit(tiny_copy)  # … but no editor


def test_parts_of_two_models(edit, tiny_copy):
    path = tiny_copy / "unet" / WEIGHTS["unet"]
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :5].contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    change(tiny_copy / "unet" / "config.json", in_channels=5)
    assert "in_channels 5, out_channels 4, where the 4 latent channels of vae/ ask for 8 and 4" in edit(tiny_copy)


def test_an_unknown_scheduler(edit, tiny_copy):
    change(tiny_copy / "scheduler" / "scheduler_config.json", _class_name="NoSuchScheduler")
    assert "no scheduler called 'NoSuchScheduler'" in edit(tiny_copy)
    change(tiny_copy / "scheduler" / "scheduler_config.json", _class_name="AutoencoderKL")  # a class, but no scheduler
    assert "no scheduler called 'AutoencoderKL'" in edit(tiny_copy)


def test_no_such_model(edit, tmp_path):
    assert "there is no such model. Give 'mini', 'mini-base', a folder" in edit("nonsense")
    assert "the hub did not answer (" in edit("nobody/nothing")  # HF_HUB_OFFLINE; a real one: test_hub.py
    assert "no model_index.json in this folder" in edit(tmp_path)


def test_a_shipped_model_that_is_not_there(edit, monkeypatch, tmp_path):
    from uip2p.models import folder

    monkeypatch.setitem(folder.SHIPPED, "mini", tmp_path / "gone")
    assert "the model 'mini' is not in this installation" in edit("mini")


@pytest.mark.parametrize("instruction", ["", "   ", "...", "\n"])
def test_an_empty_instruction(edit, tiny_folder, instruction):
    assert "the instruction is empty: say what to change, such as" in edit(tiny_folder, instruction)


def test_an_unknown_word(edit, closed_folder):
    stderr = edit(closed_folder, "make the car bleu")
    assert "'bleu' is not a word that the model" in stderr and "Did you mean 'blue'?" in stderr


def test_half_precision_weights_run_in_full_precision(tiny_copy):
    reference = load_pipeline(tiny_copy)
    for part, file in WEIGHTS.items():
        path = tiny_copy / part / file
        save_file({key: value.half() for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    parts = load_pipeline(tiny_copy)
    assert {parts.unet.dtype, parts.vae.dtype, parts.text_encoder.dtype} == {torch.float32}
    for ours, theirs in zip(parts.unet.parameters(), reference.unet.parameters(), strict=True):
        assert ours.dtype == torch.float32 and torch.allclose(ours, theirs, atol=1e-2)


def test_a_folder_without_settings_has_the_papers_defaults(tiny_copy):
    (tiny_copy / "uip2p.json").unlink()
    settings = load_pipeline(tiny_copy).settings
    assert (settings.steps, settings.guidance_scale, settings.image_guidance_scale) == (100, 7.5, 1.5)
    assert settings.image_size == 32 and settings.vocabulary is None
