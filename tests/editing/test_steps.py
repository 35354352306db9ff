"""Between the steps: previews, stopping, drafts by a tiny decoder."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from uip2p.editing.editor import Editor
from uip2p.editing.sampling import SCHEDULERS
from uip2p.errors import UserError

TEXT = "make the car blue"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "taesd"
    tiny.build_tiny_decoder().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def editor(tiny_folder):
    return Editor.from_pretrained(tiny_folder, "cpu")


@pytest.fixture(scope="module")
def quick(tiny_folder, decoder):
    return Editor.from_pretrained(tiny_folder, "cpu", tiny_decoder=decoder)


def pixels(picture) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_preview_of_the_last_step_is_the_result(editor, photo, scheduler):
    """The last step ends where it saw the end, with every scheduler: a preview has the same scale as a result. (Nearly:
    DDIM as Stable Diffusion has it leaves 3 % of noise in, ᾱ_0.)"""
    seen, options = [], {"steps": 4, "scheduler": scheduler}
    native = photo.resize((32, 32))
    result = editor(native, TEXT, **options, on_step=lambda step: seen.append((step, step.preview())))
    assert [(step.number, step.total) for step, _ in seen] == [(n, 4) for n in range(1, 5)]
    assert all(len(pictures) == 1 and pictures[0].size == (32, 32) for _, pictures in seen)
    assert np.abs(pixels(seen[-1][1][0]) - pixels(result)).mean() < 1
    assert np.abs(pixels(seen[0][1][0]) - pixels(result)).mean() > 2
    assert np.array_equal(pixels(result), pixels(editor(native, TEXT, **options)))


def test_previews_of_a_batch_are_of_each_picture(quick, photo):
    seen, batch = [], [photo.resize((32, 32)), photo.resize((32, 32)).rotate(180)]
    drafts = quick(batch, TEXT, steps=2, draft=True, on_step=lambda step: seen.append(step.preview()))
    assert [len(pictures) for pictures in seen] == [2, 2]
    for preview, draft in zip(seen[-1], drafts, strict=True):
        assert np.abs(pixels(preview) - pixels(draft)).max() <= 2


def test_a_draft_is_decoded_by_the_tiny_decoder(quick, editor, photo):
    native = photo.resize((32, 32))
    assert np.array_equal(pixels(quick(native, TEXT)), pixels(editor(native, TEXT))), "without draft nothing changes"
    assert np.abs(pixels(quick(native, TEXT, draft=True)) - pixels(quick(native, TEXT))).mean() > 5
    assert quick(photo, TEXT, draft=True).size == photo.size  # with the picture's own detail
    checked = {"check": True, "reverse": "make the car red", "clip": None}
    with pytest.raises(UserError, match="load the model with one"):
        editor(native, TEXT, draft=True, **checked)


def test_a_callback_stops_an_edit_by_raising(editor, photo):
    class Stop(Exception):
        pass

    seen = []

    def stop(step) -> None:
        seen.append(step.number)
        if step.number == 2:
            raise Stop

    before = pixels(editor(photo, TEXT))
    with pytest.raises(Stop):
        editor(photo, TEXT, steps=50, on_step=stop)
    assert seen == [1, 2] and np.array_equal(pixels(editor(photo, TEXT)), before)


def test_a_tiny_decoder_of_other_latents(tiny_folder, tmp_path):
    tiny.build_tiny_decoder(blocks=4).save_pretrained(tmp_path / "eight")
    with pytest.raises(UserError, match=r"decodes 4 channels at 1/8 of a picture's side, and .+ are 4 at 1/4"):
        Editor.from_pretrained(tiny_folder, "cpu", tiny_decoder=tmp_path / "eight")
    with pytest.raises(UserError, match=r"is an AutoencoderKL, and has to be an AutoencoderTiny"):
        Editor.from_pretrained(tiny_folder, "cpu", tiny_decoder=tiny_folder / "vae")


def test_more_steps_than_lcm_was_distilled_for(editor, photo):
    with pytest.raises(UserError, match="steps is 60: LCMScheduler refuses"):
        editor(photo, TEXT, steps=60, scheduler="lcm")
