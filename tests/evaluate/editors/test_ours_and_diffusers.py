"""Editors of this project and diffusers' own pipelines, on tiny models of every class and on the shipped one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from asks import OTHER, TEXT, apart, furthest, picture, three_asks
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling
from uip2p.evaluate.editors import Editor, open_editor, parse_spec, require, split_options
from uip2p.evaluate.editors.pipelines import Pipeline
from uip2p.evaluate.rows import fingerprint
from uip2p.images import to_tensor, to_uint8

QUICK = Sampling(steps=2, guidance_scale=3.0, image_guidance_scale=1.5)


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "xl"
    tiny.build_xl_pipeline().save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module", params=["uip2p", "diffusers", pytest.param("SDXL", marks=pytest.mark.slow)])
def spec(request, tiny_folder, xl_folder) -> str:
    return {
        "uip2p": f"{tiny_folder}", "diffusers": f"diffusers:{tiny_folder}", "SDXL": f"diffusers:{xl_folder}",
    }[request.param]  # fmt: skip


@pytest.fixture(scope="module")
def editor(spec) -> Editor:
    return open_editor(spec, device="cpu").sampled(QUICK)


def test_an_answer_depends_on_its_own_question_alone(editor):
    asks = three_asks()
    together = editor.edit(asks)
    assert furthest(together, [editor.edit([ask])[0] for ask in asks]) <= 1
    assert furthest(editor.edit(asks[::-1])[::-1], together) <= 1
    assert all(answer.mode == "RGB" for answer in together)


def test_seed_instruction_and_picture_matter(editor):
    ask = Ask("a", picture(1), TEXT, 1)
    answer = editor.edit([ask])[0]
    assert apart(editor.edit([ask])[0], answer) == 0
    for other in (replace(ask, seed=2), replace(ask, instruction=OTHER), replace(ask, image=picture(5))):
        assert apart(editor.edit([other])[0], answer) > 3


def test_an_answer_is_asked_for_by_nothing_but_the_question(editor):
    ask = Ask("a", picture(1), TEXT, 1)
    words = {"caption": "a", "edited_caption": "b", "reverse_instruction": "c"}
    whole = replace(ask, **words, answer=lambda: picture(9), replicate=4)
    assert apart(*editor.edit([ask, whole])) <= 1


def test_sampled_is_another_sampling_of_the_same_weights(editor):
    ask, before = Ask("a", picture(1), TEXT, 1), json.dumps(editor.describe())
    answer = editor.edit([ask])[0]
    for change in (
        Sampling(steps=3), Sampling(guidance_scale=6.0), Sampling(image_guidance_scale=1.2),
        Sampling(scheduler="euler-ancestral"), Sampling(size=16),
    ):  # fmt: skip
        other = editor.sampled(change)
        made = other.edit([ask])[0]
        assert networks(other) == networks(editor)
        assert json.dumps(other.describe()) != before
        assert made.size != answer.size or apart(made, answer) > 0
    assert json.dumps(editor.describe()) == before  # and what it was made from is as it was
    assert apart(editor.edit([ask])[0], answer) == 0


def networks(editor) -> list[int]:
    found = editor.model.parts if hasattr(editor, "model") else editor.pipeline
    return [id(found.unet), id(found.vae), id(found.text_encoder)]


def test_a_description_has_every_setting(editor):
    sampling = editor.sampled(Sampling(size=32, scheduler="dpm")).describe()["sampling"]
    assert sampling == {"steps": 2, "guidance_scale": 3.0, "image_guidance_scale": 1.5,
                        "scheduler": "DPMSolverMultistepScheduler", "size": 32}  # fmt: skip
    assert editor.tunable == set(Sampling.__dataclass_fields__)
    require(editor, "steps", "image_guidance_scale")


def test_a_description_is_of_the_weights(spec, editor, tmp_path):
    scheme, sign, place = spec.rpartition(":")
    copy = shutil.copytree(place, tmp_path / place.rpartition("/")[2])
    same = open_editor(f"{scheme}{sign}{copy}", device="cpu").sampled(QUICK)
    assert same.describe() == editor.describe()
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"] += 0.01
    save_file(tensors, weights, {"format": "pt"})
    assert open_editor(f"{scheme}{sign}{copy}", device="cpu").sampled(QUICK).describe() != editor.describe()


def test_with_a_size_the_model_works_in_just_that(editor):
    asks = three_asks()
    assert {answer.size for answer in editor.sampled(Sampling(size=48)).edit(asks)} == {(48, 48)}
    trips = editor.sampled(Sampling(size=48)).round_trip()([ask.image for ask in asks])
    assert {trip.size for trip in trips} == {(48, 48)}


def test_the_round_trip_is_the_autoencoder_and_nothing_else(editor):
    source, other = picture(1, 32, 32), picture(2, 32, 32)
    vae = editor.model.vae if hasattr(editor, "model") else editor.pipeline.vae
    with torch.no_grad():
        expected = to_uint8(vae.decode(vae.encode(to_tensor(source)[None]).latent_dist.mode()).sample)[0]
    trips = editor.round_trip()([other, source])
    assert np.abs(np.asarray(trips[1]).astype(int) - expected).max() <= 1
    assert apart(*trips) > 0


@pytest.mark.parametrize("change, field", [
    (Sampling(steps=0), "steps"), (Sampling(guidance_scale=-1.0), "guidance_scale"), (Sampling(size=30), "size"),
    (Sampling(image_guidance_scale=float("nan")), "image_guidance_scale"), (Sampling(scheduler="dpmm"), "scheduler"),
])  # fmt: skip
def test_a_bad_value_is_named(editor, change, field):
    with pytest.raises(UserError, match=field):
        editor.sampled(change)


def test_ours_and_diffusers_agree_on_the_shipped_model():
    asks = [Ask("a", picture(1, 64, 64), "make the car blue", 5), Ask("b", picture(2, 64, 64), "remove the tree", 6)]
    ours, theirs = open_editor("mini", device="cpu"), open_editor("diffusers:mini", device="cpu")
    own = ours.describe()["sampling"]
    scales = {name: own[name] for name in ("guidance_scale", "image_guidance_scale")}
    for sampling in (Sampling(2, 3.0, 1.5, "euler-ancestral", 64), Sampling(1, **scales)):
        one, other = ours.sampled(sampling), theirs.sampled(sampling)
        assert one.describe()["sampling"] == other.describe()["sampling"]
        assert furthest(one.edit(asks), other.edit(asks)) <= 2
    pictures = [ask.image for ask in asks]
    assert furthest(ours.round_trip()(pictures), theirs.round_trip()(pictures)) <= 1


def test_ours_says_whose_instruction_is_bad(closed_folder):
    with pytest.raises(UserError, match=r"327/x: .*spaceship"):
        open_editor(str(closed_folder)).edit([Ask("327/x", picture(1), "add a spaceship", 0)])


def test_ours_takes_options(tiny_folder):
    with pytest.warns(UserWarning, match="bf16 on the CPU"):
        editor = open_editor(f"small={tiny_folder}?dtype=bf16")
    assert (editor.name, editor.describe()["dtype"]) == ("small", "bf16")
    with pytest.raises(UserError, match="no option 'precision'"):
        open_editor(f"{tiny_folder}?precision=bf16")


# ---- what diffusers has beside ------------------------------------------------------------------------


def test_sdxl(xl_folder):
    """It takes a height and a width. The slow tests ask it all the rest."""
    editor = open_editor(f"diffusers:{xl_folder}", device="cpu")
    assert editor.tunable == set(Sampling.__dataclass_fields__)
    editor, asks = editor.sampled(replace(QUICK, size=16)), three_asks()
    together = editor.edit(asks)
    assert {answer.size for answer in together} == {(16, 16)}
    assert furthest(together[1:], editor.edit(asks[1:])) <= 1
    assert apart(editor.edit([replace(asks[0], seed=9)])[0], together[0]) > 3
    assert editor.round_trip()([asks[0].image])[0].size == (16, 16)


def test_options_fix_arguments_of_the_call(tiny_folder):
    editor = open_editor(f"diffusers:{tiny_folder}?guidance_scale=4&num_inference_steps=2&negative_prompt=red dog")
    assert editor.describe()["arguments"] == {"num_inference_steps": 2, "guidance_scale": 4,
                                              "image_guidance_scale": 1.5, "negative_prompt": "red dog"}  # fmt: skip
    assert editor.tunable == {"image_guidance_scale", "scheduler", "size"}
    with pytest.raises(UserError, match="its steps cannot be set"):
        require(editor, "steps")
    told = editor.sampled(replace(QUICK, steps=50))
    assert told.describe()["sampling"]["steps"] == 2
    plain = open_editor(f"diffusers:{tiny_folder}").sampled(replace(QUICK, guidance_scale=4.0))
    asks = three_asks()
    assert furthest(plain.edit(asks), told.edit(asks)) > 0  # the negative prompt is heard
    with pytest.raises(UserError, match="takes no 'true_cfg_scale'"):
        open_editor(f"diffusers:{tiny_folder}?true_cfg_scale=4")
    with pytest.raises(UserError, match="guidance_scale is 'high'"):
        open_editor(f"diffusers:{tiny_folder}?guidance_scale=high")


def test_both_guidances_off_is_said(tiny_folder):
    editor = open_editor(f"diffusers:{tiny_folder}")
    assert editor.describe()["guided"]
    assert not editor.sampled(Sampling(guidance_scale=1.0)).describe()["guided"]


def test_a_pipeline_that_does_not_edit(tiny_folder):
    parts = tiny.build_pipeline().components
    with pytest.raises(UserError, match="takes no image"):
        Pipeline("sd", StableDiffusionPipeline(**parts, requires_safety_checker=False))


def test_what_a_safety_checker_marks_is_an_error_and_not_a_black_picture(tmp_path):
    torch.manual_seed(0)
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    sees = {**small, "image_size": 32, "patch_size": 16}
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=small, vision_config=sees, projection_dim=8))
    checker.concept_embeds_weights.data.fill_(-2.0)  # whatever it sees is near enough to a concept
    parts = tiny.build_pipeline().components | {
        "safety_checker": checker, "feature_extractor": CLIPImageProcessor(size=32, crop_size=32),
    }  # fmt: skip
    pipeline = StableDiffusionInstructPix2PixPipeline(**parts)
    asks = three_asks()[:2]
    with pytest.raises(UserError, match=r"1/a: its safety checker"):
        Pipeline("checked", pipeline).sampled(QUICK).edit(asks)
    pipeline.save_pretrained(tmp_path / "checked", safe_serialization=True)
    loaded = open_editor(f"diffusers:{tmp_path / 'checked'}").sampled(QUICK)
    assert loaded.pipeline.safety_checker is None and loaded.describe()["left out"] == ["safety_checker"]
    assert all(np.asarray(answer).std() > 1 for answer in loaded.edit(asks))


CUSTOM = '''
from diffusers import StableDiffusionInstructPix2PixPipeline

class ForkInstructPix2PixPipeline(StableDiffusionInstructPix2PixPipeline):
    def __call__(self, prompt=None, image=None, mask_img=None, num_inference_steps=5, guidance_scale=7.5,
                 image_guidance_scale=1.5, generator=None, output_type="pil", return_dict=True):
        for mask in mask_img if isinstance(mask_img, list) else [mask_img]:
            assert mask.getextrema() == (255, 255), "white is where everything may change"
        return super().__call__(
            prompt=prompt, image=image, num_inference_steps=num_inference_steps, guidance_scale=guidance_scale,
            image_guidance_scale=image_guidance_scale, generator=generator)
'''


def test_a_pipeline_of_a_fork_by_its_own_code(tiny_copy, tmp_path, monkeypatch):
    index = json.loads((tiny_copy / "model_index.json").read_text())
    index["_class_name"] = "ForkInstructPix2PixPipeline"
    (tiny_copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"ForkInstructPix2PixPipeline, which diffusers .*custom_pipeline"):
        open_editor(f"diffusers:{tiny_copy}")
    code = tmp_path / "code"
    code.mkdir()
    (code / "pipeline.py").write_text(CUSTOM)
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    editor = open_editor(f"diffusers:{tiny_copy}?custom_pipeline={code}")
    assert editor.describe()["custom_pipeline"] == str(code)
    stock = Pipeline("stock", tiny.build_pipeline())
    asks = three_asks()
    assert furthest(editor.sampled(QUICK).edit(asks), stock.sampled(QUICK).edit(asks)) <= 1


def test_what_cannot_be_loaded(tiny_copy):
    with pytest.raises(UserError, match="there is no such folder"):
        open_editor("diffusers:/nowhere/at/all")
    with pytest.raises(UserError, match=r"someone/something: there is no such folder here.*hf download"):
        open_editor("diffusers:someone/something")
    with pytest.raises(UserError, match="offload is 'half'"):
        open_editor(f"diffusers:{tiny_copy}?offload=half")
    with pytest.raises(UserError, match="the device is the CPU"):
        open_editor(f"diffusers:{tiny_copy}?offload=model", device="cpu")
    (tiny_copy / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(UserError, match="cannot be loaded by diffusers"):
        open_editor(f"diffusers:{tiny_copy}")


@pytest.mark.slow
def test_a_hub_id_is_known_by_its_commit(tiny_folder, tmp_path):
    commit, cache = "0123456789abcdef" * 2 + "01234567", tmp_path / "models--someone--painter"
    shutil.copytree(tiny_folder, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    code = "from uip2p.evaluate.editors import open_editor; print(open_editor({!r}).describe()['model'])"
    said = [
        subprocess.run(
            [sys.executable, "-c", code.format(spec)], env=os.environ | {"HF_HUB_CACHE": str(tmp_path)},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for spec in ("diffusers:someone/painter", "diffusers:someone/painter@main", "someone/painter")
    ]  # fmt: skip
    assert said[:2] == [f"someone/painter@{commit}"] * 2
    assert said[2] == f"someone/painter@{fingerprint(tiny_folder)}"


def test_weights_with_a_hole_are_not_filled_by_chance(tiny_copy):
    for part, weights in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        path = tiny_copy / part / f"{weights}.safetensors"
        whole = load_file(path)
        save_file(dict(list(whole.items())[1:]), path, {"format": "pt"})
        with pytest.raises(UserError, match=f"{part}.* tensor {next(iter(whole))}.*random numbers"):
            open_editor(f"diffusers:{tiny_copy}")
        save_file(whole, path, {"format": "pt"})


def test_specs():
    assert parse_spec("mini") == ("mini", "uip2p", "mini")
    assert parse_spec("x=a/b?lora=c&dtype=bf16") == ("x", "uip2p", "a/b?lora=c&dtype=bf16")
    assert parse_spec("diffusers:a/b@c?dtype=bf16") == ("b@c", "diffusers", "a/b@c?dtype=bf16")
    assert parse_spec("endpoint:http://h:1/v1?api=2#org/m?size=5")[0] == "m"
    assert split_options("http://h/v1?api=2#m?size=5&q=a") == ("http://h/v1?api=2#m", {"size": "5", "q": "a"})
    assert split_options("http://h/v1?api=2#m") == ("http://h/v1?api=2#m", {})
    with pytest.raises(UserError, match="no editor of kind 'onnx'"):
        parse_spec("onnx:x")
    with pytest.raises(UserError, match="names no model"):
        parse_spec("diffusers:?dtype=bf16")
