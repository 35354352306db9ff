"""`uip2p export`: what comes out is loaded by the program it is for, and edits as the model does."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image
from safetensors.torch import load_file
from tiny import build_xl_pipeline, save_folder

from uip2p.cli import main
from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.models.lora import FILE

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("export") / "model")


@pytest.fixture(scope="module")
def onnx(model, tmp_path_factory):
    """Exported once: it takes seconds."""
    out = tmp_path_factory.mktemp("onnx") / "editor"
    assert main(["export", "--model", str(model), "--format", "onnx", "--out", str(out)]) == 0
    return out


def edited(name, **options):
    editor = Editor.from_pretrained(name, device="cpu")
    return np.asarray(editor(PICTURE, "make the car blue", steps=3, seed=5, **options)).astype(int)


def export(model, form, out, *more):
    return main(["export", "--model", str(model), "--format", form, "--out", str(out), *more])


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("form", ["folder", "single"])
def test_folder_and_single_file_edit_alike(model, tmp_path, form, dtype):
    out = tmp_path / ("editor.safetensors" if form == "single" else "editor")
    assert export(model, form, out, "--dtype", dtype) == 0
    difference = np.abs(edited(out) - edited(model)).max()
    assert difference == 0 if dtype == "fp32" else difference <= 2
    if form == "folder":
        assert StableDiffusionInstructPix2PixPipeline.from_pretrained(out).unet.config.in_channels == 8
        stored = load_file(out / "unet/diffusion_pytorch_model.safetensors")["conv_in.weight"].dtype
        assert stored == {"fp32": torch.float32, "fp16": torch.float16}[dtype]


@pytest.mark.parametrize("options", [{}, {"guidance_scale": 1.0}, {"image_guidance_scale": 1.0}])
def test_onnxruntime_makes_the_same_picture_of_the_same_seed(model, onnx, options):
    assert np.abs(edited(onnx, **options) - edited(model, **options)).max() <= 1
    wide = Editor.from_pretrained(onnx)(PICTURE.resize((64, 32)), "make the car blue", steps=2, residual=False)
    assert wide.size == (64, 32), "height and width are free"


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
def test_openvino_makes_the_same_picture_of_the_same_seed(model, onnx, tmp_path):
    """As commands, in a process of their own: OpenVINO brings threads and allocators that stay in a process."""
    PICTURE.save(tmp_path / "in.png")
    ways: list[dict[str, float]] = [{}, {"guidance": 1.0}]
    commands = []
    for number, options in enumerate(ways):
        more = ["-o", str(tmp_path / f"{number}.png"), *(f"--{name}={value}" for name, value in options.items())]
        commands.append(["edit", str(tmp_path / "in.png"), "make the car blue", "--steps", "3", "--seed", "5",
                         "--model", str(onnx), "--device", "cpu", "--runtime", "openvino", *more])  # fmt: skip
    script = "import json, sys; from uip2p.cli import main; sys.exit(any([main(c) for c in json.loads(sys.argv[1])]))"
    subprocess.run([sys.executable, "-c", script, json.dumps(commands)], check=True, capture_output=True, timeout=120)
    for number, options in enumerate(ways):
        expected = edited(model, **{f"{name}_scale": value for name, value in options.items()})
        made = np.asarray(Image.open(tmp_path / f"{number}.png")).astype(int)
        assert np.abs(made - expected).max() <= 1 and expected.std() > 5


def test_a_runtime_is_for_onnx_and_is_named(model, onnx):
    with pytest.raises(UserError, match="no runtime 'tensorrt': give one of onnxruntime, openvino"):
        Editor.from_pretrained(onnx, device="cpu", runtime="tensorrt")
    with pytest.raises(UserError, match="runtime 'openvino' is for ONNX"):
        Editor.from_pretrained(model, device="cpu", runtime="openvino")


def test_onnx_takes_nothing_that_is_for_torch(onnx):
    for options in ({"attention_slicing": True}, {"lora": "x"}, {"tiny_decoder": "tiny-sd"}, {"compile": True}):
        with pytest.raises(UserError, match="ONNX runs as it was exported, fp32: leave out"):
            Editor.from_pretrained(onnx, device="cpu", **options)


def test_where_onnx_looks_cannot_be_read(onnx):
    with pytest.raises(UserError, match="an ONNX or OpenVINO model has no layers to look into"):
        Editor.from_pretrained(onnx, device="cpu").edit(PICTURE, "make the car blue", attention=True)


def test_what_cannot_be_exported_is_said(model, tmp_path, capsys):
    build_xl_pipeline().save_pretrained(tmp_path / "xl")
    for name, form, out, says in (
        (model, "single", tmp_path / "x", "--format single writes a .safetensors file"),
        (model, "folder", tmp_path / "x.safetensors", "--format folder writes a folder"),
        (model, "lora", tmp_path / "x", f"{FILE}: there is no such file: this model was trained whole"),
        (tmp_path / "xl", "onnx", tmp_path / "x", "SDXL is not exported to ONNX"),
    ):
        assert export(name, form, out) == 2
        assert says in capsys.readouterr().err and not out.exists()


def test_a_broken_onnx_folder_is_named(onnx, tmp_path, capsys):
    shutil.copytree(onnx, tmp_path / "o")
    (tmp_path / "o/vae_decoder/model.onnx").write_bytes(b"nothing")
    command = ["edit", "--model", str(tmp_path / "o"), "-o", str(tmp_path / "out.png")]
    PICTURE.save(tmp_path / "in.png")
    assert main([*command, str(tmp_path / "in.png"), "make the car blue"]) == 2
    assert "vae_decoder/model.onnx: cannot be loaded" in capsys.readouterr().err
    (tmp_path / "o/text_encoder/model.onnx").unlink()
    assert main([*command, str(tmp_path / "in.png"), "make the car blue"]) == 2
    assert "text_encoder/model.onnx: this file is missing" in capsys.readouterr().err


def test_a_lora_takes_along_what_it_was_trained_for(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / FILE).write_bytes(b"a LoRA")
    assert export(tmp_path / "model", "lora", tmp_path / "out") == 0
    for name in (FILE, "uip2p.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
