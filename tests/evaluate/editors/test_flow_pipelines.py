"""FLUX.1 Kontext and Qwen-Image-Edit: pipelines whose guidance is their own."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from asks import OTHER, TEXT, apart, furthest, picture, three_asks
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from tiny_pipelines import build_kontext, build_qwen, save

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling
from uip2p.evaluate.editors import Editor, open_editor, require
from uip2p.evaluate.editors.pipelines import Pipeline
from uip2p.images import to_tensor, to_uint8

PROTOCOL = Sampling(2, 7.5, 1.5, "euler-ancestral", 48)  # MagicBrush's, but for steps and size
SMALL = 64  # pixels: the pipelines themselves want 1024


@pytest.fixture(scope="module")
def kontext_folder(tmp_path_factory):
    return save(build_kontext(), tmp_path_factory.mktemp("models") / "kontext")


def small_qwen(pipeline_class, patch) -> Pipeline:
    """At an eighth of its side."""
    for module in (pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus):
        patch.setattr(module, "calculate_dimensions", shrunk(module.calculate_dimensions))
    pipeline = build_qwen(pipeline_class)
    pipeline.default_sample_size = SMALL // pipeline.vae_scale_factor
    return Pipeline("qwen", pipeline)


def shrunk(dimensions):
    return lambda area, ratio: dimensions(SMALL**2, ratio)


@pytest.fixture(scope="module", params=["kontext", pytest.param("qwen", marks=pytest.mark.slow), "qwen plus"])
def editor(request, kontext_folder):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "kontext":
            yield open_editor(f"diffusers:{kontext_folder}?max_area={SMALL**2}&_auto_resize=false", device="cpu")
        else:
            yield small_qwen(QwenImageEditPlusPipeline if "plus" in request.param else QwenImageEditPipeline, patch)


def test_a_protocol_of_two_scales_can_be_told_and_says_what_was_used(editor):
    assert isinstance(editor, Editor) and editor.tunable == {"steps", "size"}
    own = editor.describe()
    told = editor.sampled(PROTOCOL).describe()
    assert told["sampling"] == {"steps": 2, "guidance_scale": None, "image_guidance_scale": None,
                                "scheduler": "FlowMatchEulerDiscreteScheduler", "size": 48}  # fmt: skip
    assert told["arguments"] == own["arguments"] | {"num_inference_steps": 2}
    require(editor, "steps")
    with pytest.raises(UserError, match="its image_guidance_scale cannot be set"):
        require(editor, "steps", "image_guidance_scale")


def test_an_answer_depends_on_its_own_question_alone(editor):
    editor, asks = editor.sampled(PROTOCOL), three_asks()
    together = editor.edit(asks)
    assert {answer.size for answer in together} == {(SMALL, SMALL)}  # its own area, of the square that it was given
    assert furthest(together[::-1], [editor.edit([ask])[0] for ask in asks[::-1]]) == 0
    ask = asks[0]
    assert apart(editor.edit([replace(ask, seed=5)])[0], together[0]) > 3
    assert apart(editor.edit([replace(ask, image=picture(7))])[0], together[0]) > 0
    assert apart(editor.edit([replace(ask, instruction=OTHER)])[0], together[0]) > 0


def test_without_a_size_proportions_stay(editor):
    wide = picture(1, 96, 48)
    made = editor.sampled(Sampling(steps=1)).edit([Ask("a", wide, TEXT, 0)])[0]
    assert 1.7 < made.width / made.height < 2.3
    assert 0.7 * SMALL**2 < made.width * made.height < 1.3 * SMALL**2
    trip = editor.round_trip()([wide])[0]
    assert trip.size == made.size


def test_the_round_trip_is_the_autoencoder_and_nothing_else(editor):
    source, vae = picture(1, SMALL, SMALL), editor.pipeline.vae
    x = to_tensor(source)[None]
    with torch.no_grad():
        if "z_dim" in vae.config:  # of videos: a frame
            expected = vae.decode(vae.encode(x.unsqueeze(2)).latent_dist.mode()).sample.squeeze(2)
        else:
            expected = vae.decode(vae.encode(x).latent_dist.mode()).sample
    trips = editor.round_trip()([source, picture(2, SMALL, SMALL)])
    assert np.abs(np.asarray(trips[0]).astype(int) - to_uint8(expected)[0]).max() <= 1
    assert apart(*trips) > 0


def test_qwen_is_guided_by_a_blank_negative_prompt(monkeypatch):
    editor = small_qwen(QwenImageEditPipeline, monkeypatch).sampled(PROTOCOL)
    arguments = editor.describe()["arguments"]
    assert (arguments["true_cfg_scale"], arguments["negative_prompt"]) == (4.0, " ")
    unguided = Pipeline("qwen", editor.pipeline, fixed={"true_cfg_scale": 1.0}).sampled(PROTOCOL)
    assert "negative_prompt" not in unguided.describe()["arguments"]
    ask = Ask("a", picture(1), TEXT, 0)
    assert apart(editor.edit([ask])[0], unguided.edit([ask])[0]) > 0


def test_kontext_has_options_of_its_own(kontext_folder):
    spec = f"diffusers:{kontext_folder}?max_area={SMALL**2}&_auto_resize=false"
    ask = Ask("a", picture(1), TEXT, 0)
    plain, warm = (open_editor(spec + more).sampled(PROTOCOL) for more in ("", "&guidance_scale=30"))
    assert warm.describe() != plain.describe()
    assert apart(plain.edit([ask])[0], warm.edit([ask])[0]) > 0


@pytest.mark.slow
def test_qwen_at_its_own_area():
    editor = Pipeline("qwen", build_qwen(QwenImageEditPlusPipeline)).sampled(Sampling(steps=1, size=48))
    assert editor.edit([Ask("a", picture(1), TEXT, 0)])[0].size == (1024, 1024)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="is about its absence")
def test_what_qwen_lacks_is_said(tmp_path):
    """transformers' processor of Qwen2.5-VL wants torchvision for its part for videos."""
    folder = save(build_qwen(QwenImageEditPipeline), tmp_path / "qwen")
    index = json.loads((folder / "model_index.json").read_text())
    index["processor"] = ["transformers", "Qwen2VLProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="qwen: its processor needs torchvision"):
        open_editor(f"diffusers:{folder}")
