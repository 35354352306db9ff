"""The safety checker: whose it is, what it flags, and that no picture is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from uip2p.errors import UserError
from uip2p.safety.checker import describe, load_checker
from uip2p.safety.refused import Refused


@pytest.fixture
def copy(checker_folder, tmp_path) -> Path:
    return Path(shutil.copytree(checker_folder, tmp_path / "checker"))


@pytest.fixture
def model(tiny_copy, checker_folder) -> Path:
    """A pipeline folder with its own checker, as diffusers saves one."""
    for part, files in {"safety_checker": ("config.json", "model.safetensors"),
                        "feature_extractor": ("preprocessor_config.json",)}.items():  # fmt: skip
        (tiny_copy / part).mkdir()
        for file in files:
            shutil.copy(checker_folder / file, tiny_copy / part / file)
    return tiny_copy


def test_flags_what_is_near_a_concept_and_changes_no_picture(checker_folder, flagged, harmless, caplog):
    checker = load_checker(checker_folder)
    before = [np.array(flagged), np.array(harmless)]
    assert checker.flagged([harmless, flagged, harmless]) == [False, True, False]
    assert checker.flagged([flagged]) == [True] and checker.flagged([harmless]) == [False] and checker.flagged([]) == []
    assert all((np.array(p) == b).all() for p, b in zip([flagged, harmless], before, strict=True)) and before[0].any()
    assert not caplog.records  # diffusers would say that a black picture is returned


def test_a_flag_is_a_refusal(checker_folder, flagged, harmless):
    checker = load_checker(str(checker_folder))
    checker.check([harmless])
    with pytest.raises(Refused, match="often wrong") as refused:
        checker.check([harmless, flagged])
    assert refused.value.rule == "safety_checker" and refused.value.code == "content_policy_violation"


def test_the_models_own_is_the_default(model, tiny_folder, flagged):
    checker = load_checker(model=model)
    assert checker.flagged([flagged]) == [True] and str(model) in describe(checker)
    assert load_checker("own", str(model)).name == str(model)
    assert load_checker(model).flagged([flagged]) == [True]  # a pipeline's folder, by name
    assert load_checker("none", model) is None


def test_without_weights_pictures_are_not_looked_at_and_it_says_so(tiny_folder, model, tmp_path):
    single = tmp_path / "model.safetensors"
    single.write_bytes(b"")
    (model / "safety_checker" / "model.safetensors").unlink()  # its config came along, as with a download of ours
    assert [load_checker(model=m) for m in (tiny_folder, single, model, "mini", None)] == [None] * 5
    assert "not looked at" in describe(None)


def test_the_layout_of_the_published_weights(copy, flagged, harmless):
    """They were saved when CLIP's vision model had one more level, and with a list of positions; the processor's
    sizes were numbers."""
    old = {}
    for name, value in load_file(copy / "model.safetensors").items():
        inner = name.removeprefix("vision_model.").removeprefix("vision_model.")
        old[f"vision_model.vision_model.{inner}" if name.startswith("vision_model.") else name] = value
    old["vision_model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(old, copy / "model.safetensors", metadata={"format": "pt"})
    file = copy / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    settings |= {"size": 32, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"}
    file.write_text(json.dumps({k: v for k, v in settings.items() if k != "image_processor_type"}))
    assert load_checker(copy).flagged([flagged, harmless]) == [True, False]


def test_pickles_are_refused(model, tmp_path):
    weights = model / "safety_checker" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(UserError, match=r"safety_checker/pytorch_model.bin: a pickle"):
        load_checker(model=model)
    with pytest.raises(UserError, match="a pickle"):
        load_checker(model / "safety_checker" / "pytorch_model.bin")


def test_what_is_missing_or_does_not_fit_is_named(copy, tmp_path):
    tensors = load_file(copy / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k != "concept_embeds"}, copy / "model.safetensors")
    with pytest.raises(UserError, match=r"model.safetensors: the tensor 'concept_embeds' is missing"):
        load_checker(copy)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    processor = copy / "preprocessor_config.json"
    settings = json.loads(processor.read_text())
    processor.write_text(json.dumps(settings | {"crop_size": {"height": 64, "width": 64}}))
    with pytest.raises(UserError, match="crops pictures to 64 pixels, and the checker looks at 32"):
        load_checker(copy)
    processor.write_text("{")
    with pytest.raises(UserError, match=r"preprocessor_config.json: cannot be used"):
        load_checker(copy)
    processor.unlink()
    with pytest.raises(UserError, match=r"preprocessor_config.json: this file is missing"):
        load_checker(copy)
    for name in (copy / "model.safetensors", tmp_path / "nothing"):
        with pytest.raises(UserError, match="not a folder with a safety checker"):
            load_checker(name)
