"""One file in the original layout: written by us, read by us and by diffusers, tensor by tensor."""

import shutil

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import build_pipeline, build_xl_pipeline, save_folder
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.models.folder import load_pipeline
from uip2p.models.single_file import save_single_file

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture(params=["sd", "sdxl"])
def written(request, tmp_path):
    """(parts, file) of a tiny Stable Diffusion or SDXL editor."""
    (build_pipeline() if request.param == "sd" else build_xl_pipeline()).save_pretrained(tmp_path / "folder")
    parts = load_pipeline(tmp_path / "folder")
    save_single_file(parts, tmp_path / "editor.safetensors", torch.float32, {"base": "none"})
    return parts, tmp_path / "editor.safetensors"


def test_what_was_written_is_read_back(written):
    parts, file = written
    again = load_pipeline(file)
    for part in PARTS:
        if getattr(parts, part) is not None:
            same(getattr(parts, part), getattr(again, part))
    assert again.settings == parts.settings and again.zero_null == parts.zero_null
    assert Editor(again).parts.unet.config.in_channels == 8


def test_diffusers_reads_the_same_tensors(written):
    parts, file = written
    config = str(file.with_suffix(""))
    for name, model_class in (("unet", diffusers.UNet2DConditionModel), ("vae", diffusers.AutoencoderKL)):
        same(getattr(parts, name), model_class.from_single_file(str(file), config=config, subfolder=name))


def test_diffusers_reads_the_text_encoders(written):
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    parts, file = written
    config, tensors = str(file.with_suffix("")), load_file(file)
    for name, model_class in (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection)):
        if getattr(parts, name) is not None:
            theirs = create_diffusers_clip_model_from_ldm(
                model_class, dict(tensors), subfolder=name, config=config, local_files_only=True
            )
            same(getattr(parts, name), theirs)


def test_what_is_missing_or_of_another_shape_is_named(tmp_path):
    parts = load_pipeline(save_folder(tmp_path / "folder"))
    file = tmp_path / "editor.safetensors"
    save_single_file(parts, file, torch.float32, {})
    tensors = load_file(file)
    gone = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    for change, message in (
        ({gone: None}, rf"editor.safetensors: the tensor '{gone}' is missing\."),
        ({gone: tensors[gone][:3]}, rf"{gone}: \[3, 16, 3, 3\] where \[16, 16, 3, 3\] is expected"),
        ({"model.diffusion_model.input_blocks.0.0.weight": None}, "no Stable Diffusion in the original layout"),
        ({"cond_stage_model.transformer.text_model.final_layer_norm.weight": None}, "its text encoder is neither"),
        ({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3)}, "in_channels is 9: an inpainting"),
    ):
        changed = {**tensors, **change}
        save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, file)
        with pytest.raises(UserError, match=message):
            load_pipeline(file)
    file.write_bytes(b"\x80\x04 a pickle, as .ckpt files are")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_pipeline(file)
    with pytest.raises(UserError, match="there is no such file"):
        load_pipeline(tmp_path / "nothing.safetensors")


def test_without_a_folder_beside_it_the_configuration_comes_from_the_hub(tmp_path, monkeypatch):
    parts = load_pipeline(save_folder(tmp_path / "folder"))
    file = tmp_path / "editor.safetensors"
    save_single_file(parts, file, torch.float32, {})
    asked = []

    def snapshot(name, revision, allow_patterns):
        asked.append((name, revision))
        shutil.copytree(file.with_suffix(""), tmp_path / "cache", dirs_exist_ok=True)
        return str(tmp_path / "cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    moved = file.rename(tmp_path / "alone.safetensors")
    same(parts.unet, load_pipeline(moved).unet)
    assert asked == [("stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14")]
