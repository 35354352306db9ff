"""Same seed, scheduler and scales: the same picture as diffusers' StableDiffusionInstructPix2PixPipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler, StableDiffusionInstructPix2PixPipeline
from PIL import Image
from tiny import build_xl_pipeline

from uip2p.editing.editor import Editor
from uip2p.editing.sampling import SCHEDULERS, noise_generators, sample
from uip2p.images import to_tensor

SIZE, TEXT = 32, "make the car blue"


@pytest.fixture(scope="module")
def stock(tiny_folder):
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(tiny_folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def editor(tiny_folder):
    return Editor.from_pretrained(tiny_folder, device="cpu")


@pytest.fixture
def native(photo) -> Image.Image:
    return photo.resize((SIZE, SIZE))


def run_stock(pipe, image, texts, scheduler, seeds, **scales) -> np.ndarray:
    pipe.scheduler = scheduler
    return pipe(texts, image=image, generator=noise_generators(seeds), output_type="np", **scales).images


@pytest.mark.parametrize("scheduler", [*SCHEDULERS, "heun"])
@pytest.mark.parametrize("s_t, s_i", [(7.5, 1.5), (3.0, 1.0), (1.0, 1.0), (1.0, 1.5), (4.0, 0.8)])
@torch.no_grad()
def test_equals_stock_to_1e_4(stock, editor, native, scheduler, s_t, s_i):
    make = {**SCHEDULERS, "heun": HeunDiscreteScheduler}[scheduler].from_config
    config, seeds, texts = editor.parts.scheduler.config, [3, 4], [TEXT, "remove the red dog"]
    expected = run_stock(stock, [native, native], texts, make(config), seeds, num_inference_steps=4,
                         guidance_scale=s_t, image_guidance_scale=s_i)  # fmt: skip
    x = torch.stack([to_tensor(native)] * 2)
    latents = sample(editor.parts, editor.vae.encode(x).latent_dist.mode(), texts, noise_generators(seeds),
                     scheduler=make(config), steps=4, guidance_scale=s_t, image_guidance_scale=s_i)  # fmt: skip
    ours = editor.vae.decode(latents / editor.vae.config.scaling_factor).sample
    ours = (ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - expected).max() < 1e-4
    assert expected[0].std() > 0.02 and np.abs(expected[0] - expected[1]).max() > 0.02  # a picture, and not one for all


@pytest.mark.parametrize("s_t, s_i", [(5.0, 1.5), (3.0, 1.0), (1.0, 1.0)])
@torch.no_grad()
def test_sdxl_equals_stock_to_1e_4(tmp_path, native, s_t, s_i):
    """Two encoders, the pooled embedding, zeros for the null text. (By default stock says 1024 whatever the size.)"""
    pipe = build_xl_pipeline()
    pipe.save_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    editor, size = Editor.from_pretrained(tmp_path, device="cpu"), (SIZE, SIZE)
    expected = run_stock(pipe, native, TEXT, SCHEDULERS["euler"].from_config(pipe.scheduler.config), [3], height=SIZE,
                         width=SIZE, original_size=size, target_size=size, num_inference_steps=4, guidance_scale=s_t,
                         image_guidance_scale=s_i)[0]  # fmt: skip
    ours = editor(native, TEXT, steps=4, seed=3, scheduler="euler", guidance_scale=s_t, image_guidance_scale=s_i)
    assert np.abs(np.asarray(ours) - expected * 255).max() <= 0.52 and expected.std() > 0.02


def test_editor_returns_the_stock_picture_at_native_size(stock, editor, native):
    scales = {"guidance_scale": 5.0, "image_guidance_scale": 1.3}
    scheduler = SCHEDULERS["euler-ancestral"].from_config(editor.parts.scheduler.config)
    expected = run_stock(stock, native, [TEXT], scheduler, [7], num_inference_steps=4, **scales)[0]
    ours = editor(native, TEXT, steps=4, seed=7, scheduler="euler-ancestral", **scales)
    assert np.abs(np.asarray(ours) - expected * 255).max() <= 0.51


def test_text_picture_seed_and_scales_all_matter(editor, native):
    def run(image=native, text=TEXT, **options):
        return np.asarray(editor(image, text, **options)).astype(int)

    base = run()
    assert np.array_equal(base, run())
    others = [run(text="add a dog"), run(image=native.rotate(90)), run(seed=1), run(guidance_scale=9.0),
              run(image_guidance_scale=3.0), run(steps=2), run(scheduler="euler-ancestral")]  # fmt: skip
    assert all(np.abs(base - other).max() > 1 for other in others)
