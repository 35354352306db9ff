"""The meter: every figure where it is defined, MagicBrush's and InstructPix2Pix's own formulas."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from frozen import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OPENAI_MEAN,
    OPENAI_STD,
    twenty,
)
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer, ViTModel

from uip2p.evaluate.encoders import open_clip, open_dino
from uip2p.evaluate.meter import DEFAULT, FIGURES, Judged, StandardMeter
from uip2p.evaluate.perceptual import open_lpips


def build(models, figures=DEFAULT, batch_size=32):
    return StandardMeter(
        figures, "local", open_clip(models["clip"], batch_size=batch_size),
        open_dino(models["dino"], batch_size=batch_size), open_lpips(models["lpips"], batch_size=batch_size),
    )  # fmt: skip


@pytest.fixture(scope="module")
def meter(models):
    """Of every figure, the slow one too."""
    return build(models, FIGURES)


@pytest.fixture(scope="module")
def figures(models):
    """The twenty pictures' but for LPIPS, all at once."""
    return build(models).measure(twenty())


# ---- MagicBrush's formulas, from its description ----


def view(picture, resize, crop, mean, std):
    """Shorter edge to `resize` by PIL's bicubic filter, the middle of `crop` pixels, [0, 1], normalised."""
    width, height = picture.size
    short = min(width, height)
    small = picture.resize((resize * width // short, resize * height // short), Image.Resampling.BICUBIC)
    left, top = (round((edge - crop) / 2) for edge in small.size)
    pixels = np.asarray(small.crop((left, top, left + crop, top + crop)), np.float64) / 255
    return torch.tensor(((pixels - mean) / std).transpose(2, 0, 1)[None]).float()


def cosine(a, b):
    a, b = a.double().numpy().ravel(), b.double().numpy().ravel()
    return a @ b / np.sqrt((a @ a) * (b @ b))


@torch.no_grad()
def magicbrush(clip, tokenizer, dino, one):
    resized, target = (np.asarray(x, np.float64) / 255 for x in (one.output.resize(one.target.size), one.target))
    ids = tokenizer([one.edited_caption], padding="max_length", max_length=77, return_tensors="pt").input_ids

    def seen(picture):
        told = clip(input_ids=ids, pixel_values=view(picture, 224, 224, OPENAI_MEAN, OPENAI_STD))
        state = dino(pixel_values=view(picture, 256, 224, IMAGENET_MEAN, IMAGENET_STD)).last_hidden_state[:, 0]
        return told.image_embeds, told.text_embeds, state

    (output, text, output_state), (target_seen, _, target_state) = seen(one.output), seen(one.target)
    return {
        "l1": np.abs(resized - target).mean(), "l2": ((resized - target) ** 2).mean(),
        "clip_i": cosine(output, target_seen), "clip_t": cosine(output, text),
        "dino": cosine(output_state, target_state),
    }  # fmt: skip


def test_magicbrush_on_twenty_pictures(models, figures):
    clip, tokenizer = CLIPModel.from_pretrained(models["clip"]), CLIPTokenizer.from_pretrained(models["clip"])
    dino = ViTModel.from_pretrained(models["dino"], add_pooling_layer=False)
    expected = [magicbrush(clip, tokenizer, dino, one) for one in twenty()]
    for found, wanted in zip(figures, expected, strict=True):
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-4)
    for name in expected[0]:  # what agrees is not one number over and over
        assert np.std([wanted[name] for wanted in expected]) > 1e-3


@pytest.mark.parametrize("quirk", [False, True])
def test_instruct_pix2pix_on_twenty_pictures(models, quirk):
    """x = cos(I₁ − I₀, T₁ − T₀), y = cos(I₀, I₁); with the published script's [-1, 1] where [0, 1] is expected."""
    clip, tokenizer = CLIPModel.from_pretrained(models["clip"]), CLIPTokenizer.from_pretrained(models["clip"])
    asked = [replace(one, output=one.output.resize(one.source.size), target=None, mask=None) for one in twenty()]
    mean, std = (torch.tensor(x)[:, None, None] for x in (OPENAI_MEAN, OPENAI_STD))

    def pixels(picture):
        x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / (127.5 if quirk else 255)
        x = torch.nn.functional.interpolate(x - int(quirk), size=224, mode="bicubic", align_corners=False)
        return (x - mean) / std

    meter = StandardMeter(("direction", "clip_source"), "input", open_clip(models["clip"], "ip2p", quirk))
    for one, found in zip(asked, meter.measure(asked), strict=True):
        ids = tokenizer([one.caption, one.edited_caption], padding="max_length", max_length=77, return_tensors="pt")
        with torch.no_grad():
            told = clip(input_ids=ids.input_ids, pixel_values=torch.cat([pixels(one.source), pixels(one.output)]))
        (i0, i1), (t0, t1) = told.image_embeds, told.text_embeds
        assert found == pytest.approx({"direction": cosine(i1 - i0, t1 - t0), "clip_source": cosine(i0, i1)}, abs=1e-4)


# ---- properties ----


def test_every_figure_is_there(meter, figures):
    (found,) = meter.measure([twenty()[7]])
    assert tuple(found) == FIGURES and 0 < found.pop("lpips") < 1
    assert found == pytest.approx(figures[7], abs=1e-5)
    assert all(tuple(row) == DEFAULT and np.isfinite(list(row.values())).all() for row in figures)


def test_the_answer_itself(meter):
    """L1 0 and CLIP-I 1; PSNR, which is infinite, is left out and the row stays JSON."""
    for found in meter.measure([replace(one, output=one.target) for one in twenty()[1:13:2]]):
        assert found["l1"] == found["l2"] == found["lpips"] == found["inside"] == 0 and "psnr" not in found
        assert [found[name] for name in ("clip_i", "dino")] == pytest.approx([1, 1], abs=1e-9)
        assert found["ssim"] == pytest.approx(1, abs=1e-4)
        json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("batch_size", [3, 32])
def test_doing_nothing(models, batch_size):
    """Direction of identical pictures is 0, however pictures and batches fall together."""
    copies = [replace(one, output=one.source.copy()) for one in twenty()[:12]]
    encoder = open_clip(models["clip"], batch_size=batch_size)
    for found in StandardMeter(("direction", "outside", "inside", "clip_source"), clip=encoder).measure(copies):
        assert found["direction"] == found["outside"] == 0
        assert found["inside"] == pytest.approx(1) and found["clip_source"] == pytest.approx(1, abs=1e-9)


def test_batches_and_order_change_nothing(models, figures):
    """But for rounding, which shows in the direction most: it is that of a small difference."""
    for batch_size, order in ((1, range(1, 10)), (8, np.random.default_rng(0).permutation(range(1, 13)))):
        meter, found = build(models, batch_size=batch_size), []
        for start in range(0, len(order), batch_size):
            found += meter.measure([twenty()[i] for i in order[start : start + batch_size]])
        for i, row in zip(order, found, strict=True):
            assert row.pop("direction") == pytest.approx(figures[i]["direction"], abs=1e-5)
            assert row == pytest.approx({name: figures[i][name] for name in row}, abs=1e-6) and len(row) == 10


def test_what_is_not_defined_is_left_out(meter):
    one = twenty()[7]
    no_target = meter.measure([replace(one, target=None)])[0]
    assert set(no_target) == {"clip_t", "direction", "clip_source", "outside"}
    assert not {"inside", "outside"} & set(meter.measure([replace(one, mask=None)])[0])
    untold = meter.measure([replace(one, caption="")])[0]
    assert "direction" not in untold and "clip_t" in untold
    assert not {"direction", "clip_t"} & set(meter.measure([replace(one, caption="", edited_caption="")])[0])
    assert "outside" not in meter.measure([replace(one, mask=np.ones_like(one.mask))])[0]
    nothing_to_do = meter.measure([replace(one, target=one.source)])[0]
    assert "inside" not in nothing_to_do and nothing_to_do["outside"] > 0
    mixed = meter.measure([replace(one, target=None), one, replace(one, mask=None, caption="")])
    assert mixed[0] == pytest.approx(no_target, abs=1e-6) and set(mixed[1]) == set(FIGURES)
    assert meter.measure([]) == []


def test_regions():
    """A known veil: half of the edit made, a tenth added everywhere else."""
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    source, target, output = (np.full((40, 40, 3), value, np.uint8) for value in (100, 200, 100))
    output[:20], output[20:], target[20:] = 150, 100 + 51, 100
    one = Judged("a", *(Image.fromarray(x) for x in (output, source, target)), mask)
    found = StandardMeter(("inside", "outside")).measure([one])[0]
    assert found == pytest.approx({"inside": 0.5, "outside": 0.2}, abs=1e-6)


@pytest.mark.parametrize("broken, match", [
    (lambda one: replace(one, output=one.output.convert("L")), "the output is L, not RGB"),
    (lambda one: replace(one, source=one.source.convert("RGBA")), "the source is RGBA"),
    (lambda one: replace(one, mask=one.mask[:-1]), "the mask is bool"),
    (lambda one: replace(one, mask=one.mask.astype(float)), "the mask is float64"),
    (lambda one: replace(one, target=one.target.resize((4, 4)), mask=None), "ssim: each side needs 6"),
])  # fmt: skip
def test_bad_pictures_raise_with_their_key(broken, match):
    good, bad = twenty()[0], broken(twenty()[1])
    with pytest.raises(ValueError, match=f"^{bad.key}: {match}"):
        StandardMeter(("l1", "ssim")).measure([good, bad])


def test_embeddings_that_are_not_finite_raise_with_the_key(models):
    encoder = open_clip(models["clip"])
    encoder.clip.model.visual_projection.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=f"^{twenty()[0].key}: .*not finite"):
        StandardMeter(("clip_i",), clip=encoder).measure(twenty()[:1])


def test_description_is_part_of_the_result(meter, models):
    told = meter.describe()
    json.dumps(told, allow_nan=False)
    assert set(told) == {*FIGURES, "not measured", "formulas"} and told["not measured"] == {}
    assert told["clip_t"]["captions"] == "local" and "captions" not in told["clip_i"]
    assert told["l1"]["range"] == "[0, 1]" and "bicubic" in told["l1"]["resize"]
    assert all(models["clip"] not in str(value) for value in told.values())
    assert build(models, FIGURES, batch_size=1).describe() == told
    less = StandardMeter(("l1", "psnr")).describe()
    assert less["psnr"]["equal pictures"].startswith("left out")
    assert less["not measured"]["lpips"] == "no weights given (--lpips FILE)"
    assert less["not measured"]["dino"] == "not asked for"


def test_sources_targets_and_captions_are_embedded_once(models):
    """Three rows on the same pictures: after the first only the outputs are new, and none is kept."""
    meter = StandardMeter(("clip_i", "direction", "dino"), "", open_clip(models["clip"]), open_dino(models["dino"]))
    asked = twenty()[6:12]
    meter.measure(asked)
    known = len(meter.clip_pictures.known)
    assert known == 12 and len(meter.dino_pictures.known) == 6 and len(meter.clip_texts.known) == 12
    meter.measure([replace(one, output=one.output.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for one in asked])
    assert len(meter.clip_pictures.known) == known


def test_a_figure_without_its_encoder():
    for wanted in (("clip_i",), ("dino",), ("lpips",), ("fid",)):
        with pytest.raises(ValueError, match=wanted[0]):
            StandardMeter(wanted)
