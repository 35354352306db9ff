"""Editor: lists, batches, sizes and words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from uip2p.editing.editor import Editor, working_size
from uip2p.errors import UserError


@pytest.fixture(scope="module")
def editor(tiny_folder):
    return Editor.from_pretrained(tiny_folder, device="cpu")


@pytest.fixture(scope="module")
def closed(closed_folder):
    return Editor.from_pretrained(closed_folder, device="cpu")


def test_one_in_one_out_lists_in_lists_out(editor, photo):
    assert isinstance(editor(photo, "add a dog"), Image.Image)
    assert isinstance(editor([photo], "add a dog"), list)
    assert len(editor(photo, ["add a dog", "remove the car"])) == 2
    assert editor([], "add a dog") == []
    with pytest.raises(UserError, match="2 instructions for 3 edits"):
        editor([photo] * 3, ["a", "b"])


def test_result_does_not_depend_on_the_batch(editor, photo):
    sizes = [(32, 32), (96, 64), (32, 32), (50, 70), (96, 64)]
    pictures = [photo.resize(size) for size in sizes]
    texts = ["add a dog", "remove the car", "make the dog red", "add a car", "add a dog"]
    seeds = [5, 6, 7, 8, 9]
    alone = [editor(*row, seed=seed) for *row, seed in zip(pictures, texts, seeds, strict=True)]
    for batch_size in (1, 2, 5):
        for one, many in zip(alone, editor(pictures, texts, seed=seeds, batch_size=batch_size), strict=True):
            assert one.size == many.size
            assert np.abs(np.asarray(one).astype(int) - np.asarray(many)).max() <= 1  # rounding of sums only
    first = editor(pictures, texts, seed=5)[0]  # one seed for all
    assert np.abs(np.asarray(first).astype(int) - np.asarray(alone[0])).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (31, 33), (32, 32), (100, 41), (640, 480)])
@pytest.mark.parametrize("residual", [True, False])
def test_output_has_the_size_of_the_input(editor, photo, size, residual):
    result = editor.edit(photo.resize(size), "add a dog", residual=residual, steps=1)[0]
    assert result.image.size == size
    assert result.residual == (residual and size[0] * size[1] > np.prod(result.working_size))
    assert 0 <= result.changed <= 1 and result.seconds > 0


def test_info_says_what_was_done(editor, photo):
    result = editor.edit(photo, "  add   a dog ", seed=3)[0]
    assert (result.instruction, result.seed, result.steps) == ("add a dog", 3, 3)
    assert (result.guidance_scale, result.image_guidance_scale, result.evaluations) == (3.0, 1.5, 3)
    assert result.scheduler == "DDIMScheduler" and result.residual and result.working_size == (48, 32)


@pytest.mark.parametrize("size", [(512, 512), (1920, 1080), (1080, 1920), (333, 500), (4000, 3000), (600, 600)])
@pytest.mark.parametrize("image_size, multiple", [(512, 64), (64, 16), (256, 32)])
def test_working_size_fits_the_model_and_hardly_stretches(size, image_size, multiple):
    width, height = working_size(size, image_size, multiple)
    assert width % multiple == 0 and height % multiple == 0
    assert 0.5 <= width * height / image_size**2 <= 2
    stretch = (width / height) / (size[0] / size[1])
    assert max(stretch, 1 / stretch) < (1.05 if multiple * 8 <= image_size else 1.15)


def test_working_size_of_the_native_picture_is_its_own():
    assert working_size((512, 512), 512, 64) == (512, 512)
    assert working_size((64, 64), 64, 16) == (64, 64)


@pytest.mark.parametrize("text", ["Make the CAR blue!", "make the car blue", " make  the car... blue "])
def test_closed_vocabulary_ignores_case_and_punctuation(closed, photo, text):
    plain = closed.edit(photo, "make the car blue")[0]
    result = closed.edit(photo, text)[0]
    assert result.instruction == "make the car blue" and np.array_equal(result.image, plain.image)


def test_unknown_word_is_named_with_its_nearest(closed, photo):
    with pytest.raises(UserError, match=r"'blu' is not a word .* Did you mean 'blue'"):
        closed(photo, "make the car blu")
    with pytest.raises(UserError, match=r"'zyx' is not a word .* lists its words, as its uip2p\.json"):
        closed(photo, "make the zyx blue")


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_empty_instruction(editor, closed, photo, text):
    for model in (editor, closed):
        with pytest.raises(UserError, match="the instruction is empty: say what to change"):
            model(photo, text)


def test_an_instruction_longer_than_the_model_reads_is_not_cut_in_silence(editor, photo):
    with pytest.raises(UserError, match=r"40 tokens long, and the model .* reads 14"):
        editor(photo, "car " * 40)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps is 0: give a whole number from 1 to 1000"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"guidance_scale": float("nan")}, "guidance is nan"),
        ({"image_guidance_scale": -1}, "image guidance is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"scheduler": "nonsense"}, "no scheduler 'nonsense': give one of ddim"),
    ],
)
def test_bad_numbers(editor, photo, options, message):
    with pytest.raises(UserError, match=message):
        editor(photo, "add a dog", **options)


def test_device_that_is_not_there(tiny_folder):
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(UserError, match=f"the device '{device}' cannot be used"):
            Editor.from_pretrained(tiny_folder, device=device)


def test_half_precision_runs(tiny_folder, photo):
    editor = Editor.from_pretrained(tiny_folder, device="cpu", dtype=torch.bfloat16)
    assert editor(photo, "add a dog", steps=1).size == photo.size
