"""Precision, LoRA and what saves memory: the same picture as without, within what each of them may change."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from uip2p.cli import main
from uip2p.editing.editor import Editor
from uip2p.editing.loading import Savers, check_dtype, pick_device, place_parts
from uip2p.errors import UserError
from uip2p.models.folder import load_pipeline
from uip2p.models.lora import FILE, LoraConfig, add_lora, merged, save_lora
from uip2p.models.widen import widen_conv_in

TEXT, CPU = "make the car blue", torch.device("cpu")


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "xl"
    tiny.build_xl_pipeline().save_pretrained(folder)
    return folder


def pixels(editor: Editor, picture, text=TEXT, **options) -> np.ndarray:
    """uint8 as int, of one picture or a list."""
    edited = editor(picture, text, **{"steps": 3, "guidance_scale": 3.0, "image_guidance_scale": 1.5, **options})
    return np.stack([np.asarray(each).astype(int) for each in (edited if isinstance(edited, list) else [edited])])


# ---- precision -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "mean"), [("fp16", 0.5), ("bf16", 4.0), (torch.float16, 0.5), ("fp32", 0.0)])
@pytest.mark.filterwarnings("ignore:.* on the CPU")
def test_precision_by_name(tiny_folder, photo, dtype, mean):
    """mean: of the difference from fp32, of 255. Three steps of a random model: bf16 has 8 bits."""
    editor = Editor.from_pretrained(tiny_folder, "cpu", dtype)
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}.get(dtype, dtype)
    assert {editor.parts.unet.dtype, editor.vae.dtype, editor.parts.text_encoder.dtype} == {kind}
    expected = pixels(Editor.from_pretrained(tiny_folder, "cpu"), photo)
    assert np.abs(pixels(editor, photo) - expected).mean() <= mean


@pytest.mark.filterwarnings("ignore:.* on the CPU")
def test_sdxls_own_autoencoder_is_kept_in_full_precision_beside_fp16(xl_folder, photo, tmp_path):
    editor = Editor.from_pretrained(xl_folder, "cpu", "fp16")
    assert editor.parts.unet.dtype == torch.float16 and editor.vae.dtype == torch.float32
    assert np.abs(pixels(editor, photo) - pixels(Editor.from_pretrained(xl_folder, "cpu"), photo)).mean() < 1
    assert Editor.from_pretrained(xl_folder, "cpu", "bf16").vae.dtype == torch.bfloat16


def test_half_precision_on_the_cpu_warns(tiny_folder):
    with pytest.warns(UserWarning, match="fp16 on the CPU takes half the memory of fp32, and on most"):
        Editor.from_pretrained(tiny_folder, "cpu", "fp16")


def test_a_precision_that_is_none_or_that_the_device_does_not_compute_in(tiny_folder):
    for wrong in ("fp8", "float16", torch.float64):
        with pytest.raises(UserError, match="give one of fp32, fp16, bf16"):
            Editor.from_pretrained(tiny_folder, "cpu", wrong)
    with pytest.raises(UserError, match=r"the device 'cpu' does not compute in torch.float8_e4m3fn \(.+\): use fp32"):
        check_dtype(CPU, torch.float8_e4m3fn)  # what a GPU without bf16 does; tried, not looked up


def test_a_device_that_is_there_and_does_not_compute():
    with pytest.raises(UserError, match="the device 'meta' cannot be used"):
        pick_device("meta")


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("xl", [False, True], ids=["sd", "sdxl"])
@pytest.mark.parametrize(
    "options", [{"attention_slicing": True}, {"vae_slicing": True}, {"offload": "model"}, {"offload": "sequential"}]
)
def test_the_same_picture_with_less_memory(tiny_folder, xl_folder, photo, xl, options):
    """To 1/255. Offload runs here with the CPU as the device: all of accelerate's hooks, but for the way to a GPU."""
    folder, batch = xl_folder if xl else tiny_folder, [photo, photo.rotate(180)]
    expected = pixels(Editor(load_pipeline(folder)), batch)
    editor = Editor(place_parts(load_pipeline(folder), CPU, Savers(**options)))
    assert np.abs(pixels(editor, batch) - expected).max() <= 1
    assert np.abs(pixels(editor, batch) - expected).max() <= 1, "and again: nothing was left where it was not"
    assert editor.device == CPU


def test_each_saver_is_really_on(tiny_folder):
    def place(**options):
        return place_parts(load_pipeline(tiny_folder), CPU, Savers(**options))

    sliced = place(attention_slicing=True).unet
    assert {type(each).__name__ for each in sliced.attn_processors.values()} == {"SlicedAttnProcessor"}
    assert {each.slice_size for each in sliced.attn_processors.values()} == {1}, "half of two heads"
    assert place(vae_slicing=True).vae.use_slicing and not place().vae.use_slicing
    vae = place(vae_tiling=True).vae
    assert (vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size) == (True, 16, 4)
    assert {each.device.type for each in place(offload="sequential").unet.parameters()} == {"meta"}


def test_model_offload_sends_home_what_ran_before(xl_folder, photo, monkeypatch):
    """The order of the ring is the order in which an edit runs the networks."""
    parts = place_parts(load_pipeline(xl_folder), CPU, Savers(offload="model"))
    names, ran = ("text_encoder", "text_encoder_2", "unet", "vae"), []
    for name in names:
        hook = getattr(parts, name)._hf_hook
        before = names[names.index(name) - 1]
        assert hook.prev_module_hook.model is getattr(parts, before)
        forward = hook.pre_forward

        def note(module, *args, name=name, forward=forward, **kwargs):
            ran.append(name)
            return forward(module, *args, **kwargs)

        monkeypatch.setattr(hook, "pre_forward", note)
    Editor(parts)(photo.resize((32, 32)), TEXT, steps=2)
    assert ran == ["vae", *names[:2] * 2, "unet", "unet", "vae"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_on_a_gpu(tiny_folder, photo, offload):
    expected = pixels(Editor.from_pretrained(tiny_folder, "cuda"), photo)
    editor = Editor.from_pretrained(tiny_folder, "cuda", offload=offload)
    where, parts = [], editor.parts

    def look(_):
        networks = (parts.text_encoder, parts.vae, parts.unet)
        where.append([next(network.parameters()).device.type for network in networks])

    assert np.abs(pixels(editor, photo, on_step=look) - expected).max() <= 1 and editor.device.type == "cuda"
    assert where == [["cpu", "cpu", "cuda"] if offload == "model" else ["meta"] * 3] * 3


def test_tiles_change_colours_slightly_and_make_no_other_picture():
    """The shipped model, whose autoencoder has learned something: 4/255 by the mean, of pictures that spread by 60."""
    from skimage import data

    pictures = [Image.fromarray(each()).resize((64, 64)) for each in (data.astronaut, data.coffee)]
    plain = Editor.from_pretrained("mini", CPU)
    tiled = Editor.from_pretrained("mini", CPU, vae_tiling=True)
    expected = pixels(plain, pictures, steps=5)
    difference = np.abs(pixels(tiled, pictures, steps=5) - expected)
    assert 0 < difference.mean() < 6 and expected.std() > 40
    tiled.vae.tile_sample_min_size, tiled.vae.tile_latent_min_size = 64, 16  # one tile is the whole picture
    assert np.array_equal(pixels(tiled, pictures, steps=5), expected)


@pytest.mark.slow
def test_compiled_is_the_same_picture(tiny_folder, photo):
    expected = pixels(Editor.from_pretrained(tiny_folder, "cpu"), photo)
    editor = Editor.from_pretrained(tiny_folder, "cpu", compile=True)
    assert np.abs(pixels(editor, photo) - expected).max() <= 1
    assert editor.parts.unet._compiled_call_impl is not None


def test_savers_that_do_not_go_together(tiny_folder):
    for options, message in (
        ({"offload": "model"}, "the device is the CPU: leave it out"),
        ({"offload": "disk"}, "offload is 'disk': give one of model, sequential"),
        ({"offload": "sequential", "compile": True}, "do not go together"),
    ):
        with pytest.raises(UserError, match=message):
            Editor.from_pretrained(tiny_folder, "cpu", **options)
    with pytest.raises(TypeError, match="tiling"):
        Editor.from_pretrained(tiny_folder, "cpu", tiling=True)


@pytest.mark.parametrize("size", [(32, 32), (7, 90), (200, 120)])
def test_sdxl_any_size_in_a_batch(xl_folder, photo, size):
    editor = Editor.from_pretrained(xl_folder, "cpu")
    pictures = [photo.resize(size), photo.resize((40, 40)), photo.resize(size).rotate(180)]
    edited = editor(pictures, [TEXT, "add a dog", "remove the car"], seed=[1, 2, 3], steps=2)
    assert [each.size for each in edited] == [each.size for each in pictures]
    alone = editor(pictures[2], "remove the car", seed=3, steps=2)
    assert np.abs(np.asarray(edited[2]).astype(int) - np.asarray(alone)).max() <= 1


# ---- LoRA ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base that draws from text, a LoRA that makes an editor of it with uip2p.json beside, and that editor whole."""
    root = tmp_path_factory.mktemp("lora")
    pipe = tiny.build_pipeline(prediction_type="epsilon")
    pipe.unet = type(pipe.unet).from_config({**pipe.unet.config, "in_channels": 4})
    pipe.save_pretrained(root / "base")
    torch.manual_seed(4)
    unet = add_lora(widen_conv_in(pipe.unet.eval()), LoraConfig(rank=2))
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    save_lora(unet, root / "lora", {"base": "owner/base"})
    whole = {name: getattr(pipe, name) for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    StableDiffusionInstructPix2PixPipeline(
        **whole, unet=merged(unet), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(root / "whole")
    (root / "lora/uip2p.json").write_text('{"image_size": 64, "steps": 2}')
    return root


@pytest.mark.parametrize("reference", ["lora", f"lora/{FILE}"])
def test_a_lora_on_its_base_is_the_trained_model(trained, photo, reference):
    editor = Editor.from_pretrained(trained / "base", "cpu", lora=trained / reference)
    assert (editor.settings.image_size, editor.settings.steps, editor.settings.guidance_scale) == (64, 2, 7.5)
    assert editor.parts.unet.config.in_channels == 8 and FILE in editor.parts.name
    assert not any(parameter.requires_grad for parameter in editor.parts.unet.parameters())
    whole = Editor.from_pretrained(trained / "whole", "cpu")
    native = photo.resize((32, 32))
    alone = shutil.copy(trained / "lora" / FILE, trained / "alone.safetensors")  # without uip2p.json
    small = Editor.from_pretrained(trained / "base", "cpu", lora=alone)
    assert np.abs(pixels(small, native) - pixels(whole, native)).max() <= 1
    assert pixels(whole, native).std() > 5


def test_a_lora_on_an_sdxl_editor(xl_folder, photo, tmp_path):
    pipe = tiny.build_xl_pipeline()
    unet = add_lora(pipe.unet.eval(), LoraConfig(rank=2))
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    file = save_lora(unet, tmp_path, {"base": "tiny"})
    pipe.unet = merged(unet)
    pipe.save_pretrained(tmp_path / "whole")
    changed = pixels(Editor.from_pretrained(xl_folder, "cpu", lora=file), photo)
    assert np.abs(changed - pixels(Editor.from_pretrained(tmp_path / "whole", "cpu"), photo)).max() <= 1
    assert np.abs(changed - pixels(Editor.from_pretrained(xl_folder, "cpu"), photo)).max() > 3


def test_a_lora_on_an_editor(tiny_folder, trained, photo):
    """One without conv_in changes an editor, and makes none of a text-to-image model."""
    file = trained / "style.safetensors"
    save_file({name: t for name, t in load_file(trained / "lora" / FILE).items() if "conv_in" not in name}, file)
    changed = pixels(Editor.from_pretrained(tiny_folder, "cpu", lora=file), photo)
    assert np.abs(changed - pixels(Editor.from_pretrained(tiny_folder, "cpu"), photo)).max() > 3
    with pytest.raises(UserError, match="draws from text alone"):
        Editor.from_pretrained(trained / "base", "cpu", lora=file)


def test_loras_that_do_not_fit_are_named(trained, tiny_folder, xl_folder, tmp_path):
    tensors, file = load_file(trained / "lora" / FILE), tmp_path / "x.safetensors"
    a, b = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", "unet.conv_in.lora_B.weight"
    for change, message in (
        ({a: None}, f"the tensor '{a}' is missing"),
        ({b: None}, f"the tensor '{b}' is missing"),
        ({a: torch.zeros(5, 16)}, r"lora_B.weight' has shape \[16, 2\], which does not go with \[5, 16\]"),
        ({a: torch.zeros(2, 7)}, r"changes 'mid_block.+to_q' by \[16, 7\], and this model has \[16, 16\] there"),
        ({"unet.mid_block.lora_A.weight": torch.zeros(1, 1)}, "the layer 'mid_block', which this model does not have"),
    ):
        save_file({name: t for name, t in {**tensors, **change}.items() if t is not None}, file)
        with pytest.raises(UserError, match=message):
            Editor.from_pretrained(trained / "base", "cpu", lora=file)
    with pytest.raises(UserError, match=r"another base|does not have\. It was trained on owner/base"):
        Editor.from_pretrained(xl_folder, "cpu", lora=trained / "lora")
    for missing in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match=f"{missing}: there is no LoRA"):
            Editor.from_pretrained(tiny_folder, "cpu", lora=missing)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_takes_all_of_it(trained, photo, tmp_path, capsys):
    photo.save(tmp_path / "in.png")
    tiny.build_tiny_decoder().save_pretrained(tmp_path / "taesd")

    def run(*more: str) -> tuple[int, str, np.ndarray]:
        out = tmp_path / "out.png"
        out.unlink(missing_ok=True)
        code = main(["edit", str(tmp_path / "in.png"), TEXT, "-o", str(out), "--model", str(trained / "base"), "--lora",
                     str(trained / "lora"), "--device", "cpu", "--no-residual", *more])  # fmt: skip
        return code, capsys.readouterr().err, np.asarray(Image.open(out)).astype(int) if out.exists() else np.zeros(1)

    code, _, plain = run()
    assert code == 0
    code, _, same = run("--attention-slicing", "--vae-slicing", "--scheduler", "ddim")
    assert code == 0 and np.abs(same - plain).max() <= 1
    for more in (["--vae-tiling"], ["--tiny-decoder", str(tmp_path / "taesd")]):
        code, _, other = run(*more)
        assert code == 0 and np.abs(other - plain).max() > 1, more
    with pytest.warns(UserWarning, match="fp16 on the CPU"):
        code, _, other = run("--dtype", "fp16")
    assert code == 0 and 0 < np.abs(other - plain).mean() < 2
    code, error, _ = run("--offload", "model")
    assert code == 2 and "the device is the CPU" in error
