"""The single file as other programs recognise it: what they look at is there, in the shape they look for.

What each program looks at was read in its source: ComfyUI's model_detection.py and supported_models.py (0.3.75),
A1111's sd_models_config.py, stable-diffusion.cpp's model.cpp. ComfyUI itself is asked in
tests/integrations/test_comfyui_real.py.
"""

import argparse
import re

import pytest
import torch
from full_shapes import full_size
from safetensors.torch import load_file
from tiny import build_pipeline

from uip2p.models.command import OWN_SHAPE, V_PREDICTION, advice
from uip2p.models.command import add_arguments as export_arguments
from uip2p.models.command import run as export
from uip2p.models.folder import load_pipeline
from uip2p.models.single_file import marks, save_single_file

UNET = "model.diffusion_model."
STEM = f"{UNET}input_blocks.0.0.weight"


@pytest.fixture(scope="module", params=["sd15", pytest.param("sdxl", marks=pytest.mark.slow)])
def shapes(request):
    return request.param, full_size(request.param)


def depths(shapes):
    """How many transformer blocks each block of the way down has, 0 where there is only a resnet."""
    found = []
    for block in range(1, 12):
        if f"{UNET}input_blocks.{block}.0.in_layers.0.weight" in shapes:
            inside = rf"{re.escape(UNET)}input_blocks\.{block}\.1\.transformer_blocks\.(\d+)\."
            found.append(len({match[1] for name in shapes if (match := re.match(inside, name))}))
    return found


def test_comfyui_finds_an_instruct_pix2pix_unet(shapes):
    kind, shapes = shapes
    first = f"{UNET}input_blocks.{1 if kind == 'sd15' else 4}.1."
    seen = {
        "model_channels": shapes[STEM][0],
        "in_channels": shapes[STEM][1],
        "context_dim": shapes[f"{first}transformer_blocks.0.attn2.to_k.weight"][1],
        "use_linear_in_transformer": len(shapes[f"{first}proj_in.weight"]) == 2,
        "adm_in_channels": shapes.get(f"{UNET}label_emb.0.0.weight", (0, None))[1],
        "transformer_depth": depths(shapes),
    }
    assert seen == {
        "sd15": {"model_channels": 320, "in_channels": 8, "context_dim": 768, "use_linear_in_transformer": False,
                 "adm_in_channels": None, "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0]},
        "sdxl": {"model_channels": 320, "in_channels": 8, "context_dim": 2048, "use_linear_in_transformer": True,
                 "adm_in_channels": 2816, "transformer_depth": [0, 0, 2, 2, 10, 10]},
    }[kind]  # fmt: skip


def test_comfyui_finds_the_text_encoders_and_the_autoencoder(shapes):
    kind, shapes = shapes
    clip = {"sd15": "cond_stage_model.transformer.", "sdxl": "conditioner.embedders.0.transformer."}[kind]
    assert shapes[f"{clip}text_model.embeddings.token_embedding.weight"] == (49408, 768)
    assert shapes[f"{clip}text_model.encoder.layers.11.mlp.fc1.weight"] == (3072, 768)
    if kind == "sdxl":
        big = "conditioner.embedders.1.model."
        assert shapes[f"{big}transformer.resblocks.31.attn.in_proj_weight"] == (3840, 1280)
        assert shapes[f"{big}text_projection"] == (1280, 1280) and shapes[f"{big}positional_embedding"] == (77, 1280)
    vae = "first_stage_model."
    assert shapes[f"{vae}encoder.conv_out.weight"][0] == 8 and shapes[f"{vae}post_quant_conv.weight"] == (4, 4, 1, 1)
    assert shapes[f"{vae}decoder.mid.attn_1.q.weight"] == (512, 512, 1, 1)
    assert f"{vae}decoder.up.0.block.2.conv2.weight" in shapes
    assert f"{vae}decoder.up.4.block.0.conv1.weight" not in shapes


def test_a1111_takes_its_instruct_pix2pix_configuration(shapes):
    """By the first convolution, where nothing says SDXL. An SDXL editor gets SDXL's four-channel one, and fails."""
    kind, shapes = shapes
    is_xl = "conditioner.embedders.1.model.ln_final.weight" in shapes
    others = (
        "conditioner.embedders.0.model.ln_final.weight", "embedder.model.ln_final.weight",
        "depth_model.model.pretrained.act_postprocess3.0.project.0.bias",
        "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight",
    )  # fmt: skip
    assert not any(name in shapes for name in others)
    assert (not is_xl and shapes[STEM][1] == 8) == (kind == "sd15")


def test_stable_diffusion_cpp_finds_an_edit_model(shapes):
    kind, shapes = shapes
    is_xl = any(name.startswith("conditioner.embedders.1") for name in shapes)
    assert is_xl == (kind == "sdxl") and shapes[STEM][1] == 8
    assert any(name.startswith(f"{UNET}middle_block.1.") for name in shapes), "else it takes it for a small one"
    words = "text_model.embeddings.token_embedding.weight"
    assert [shape for name, shape in shapes.items() if name.endswith(words)] == [(49408, 768)]


# ---- what the UNet predicts ----------------------------------------------------------------------


@pytest.mark.parametrize(("prediction", "zero", "names"), [
    ("epsilon", False, set()), ("v_prediction", False, {"v_pred"}), ("v_prediction", True, {"v_pred", "ztsnr"}),
])  # fmt: skip
def test_a_file_says_what_its_unet_predicts(tmp_path, prediction, zero, names):
    pipeline = build_pipeline()
    pipeline.scheduler.register_to_config(prediction_type=prediction, rescale_betas_zero_snr=zero)
    pipeline.save_pretrained(tmp_path / "folder")
    parts = load_pipeline(tmp_path / "folder")
    file = tmp_path / "editor.safetensors"
    save_single_file(parts, file, torch.float16, {})
    tensors = load_file(file)
    assert names == {"v_pred", "ztsnr"} & tensors.keys() and all(tensors[name].numel() == 0 for name in names)
    assert marks(parts.scheduler).keys() == names

    beside = file.with_suffix("") / "scheduler" / "scheduler_config.json"  # as of the base: of noise
    beside.write_text(beside.read_text().replace("v_prediction", "epsilon").replace("true", "false"))
    again = load_pipeline(file).scheduler.config
    assert (again.prediction_type, again.rescale_betas_zero_snr) == (prediction, zero)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_export_says_what_the_others_have_to_be_told(tmp_path, capsys, prediction):
    build_pipeline(prediction_type=prediction).save_pretrained(tmp_path / "folder")
    parts = load_pipeline(tmp_path / "folder")
    parts.unet.register_to_config(block_out_channels=(320, 640, 1280, 1280))
    assert advice(parts) == ([V_PREDICTION] if prediction == "v_prediction" else [])
    parser = argparse.ArgumentParser()
    export_arguments(parser)
    export(parser.parse_args(["--model", str(tmp_path / "folder"), "--format", "single", "--out",
                              str(tmp_path / "editor.safetensors")]))  # fmt: skip
    assert OWN_SHAPE in capsys.readouterr().out  # it is a tiny one
