"""The denoising loop: from noise to the edited latent, beside the latent of the picture that is edited."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import diffusers
import torch
from torch import Tensor

from uip2p.editing.guidance import conditions, guide
from uip2p.errors import UserError, first_line
from uip2p.learning.diffusion import one_step_estimate
from uip2p.models.attention import TokenTap, on_one_grid
from uip2p.models.parts import Parts
from uip2p.models.reading import Reading, ask, read

# lcm makes a picture in 1 to 8 steps (50 at most), of a model that was distilled for it, such as an editor with an
# LCM-LoRA merged in, at a guidance of 1 to 2. Any model runs with it; one that was not distilled makes worse pictures.
SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "dpm": diffusers.DPMSolverMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}


def make_scheduler(parts: Parts, scheduler: Any = None) -> Any:
    """A fresh one: they keep state. None: the model's. A name of SCHEDULERS takes over the model's noise schedule and
    prediction type; one of diffusers' stays as it is. UserError: no such name."""
    scheduler = parts.scheduler if scheduler is None else scheduler
    if not isinstance(scheduler, str):
        return type(scheduler).from_config(scheduler.config)
    if scheduler not in SCHEDULERS:
        raise UserError(f"there is no scheduler '{scheduler}': give one of {', '.join(SCHEDULERS)}.")
    return SCHEDULERS[scheduler].from_config(parts.scheduler.config)


def noise_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator a picture, on the CPU: the same noise on every device, and in every batch."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def sample(
    parts: Parts,
    image_latents: Tensor,
    instructions: Sequence[str],
    generators: list[torch.Generator],
    *,
    scheduler: Any,
    steps: int,
    guidance_scale: float,
    image_guidance_scale: float,
    on_step: Callable[[int, int, Callable[[], Tensor]], Any] | None = None,
    on_attention: Callable[[Tensor], Any] | None = None,
) -> Tensor:
    """image_latents [B, C, h, w], E(x).mode(), unscaled; B instructions; B generators -> z [B, C, h, w].

    D(z / scaling_factor) is the edited picture: diffusers' own StableDiffusionInstructPix2PixPipeline gives the same
    for the same generators, scheduler and scales. scheduler: any of diffusers', not shared (it keeps state).
    on_step: called after each step with its number from 1, how many there are, and what gives the clean latent
    [B, C, h, w] as this step saw it. on_attention: called in each step with where the pictures look, e(I, T)'s weight
    of each token [B, T, h', w'] (`attention.token_weights`, mean over the layers). UserError: a number of steps that
    the scheduler does not take.
    """
    device, dtype = parts.device, parts.unet.dtype
    seen = conditions(guidance_scale, image_guidance_scale)

    told = read(parts, instructions).to(dtype)
    null = read(parts, [""]).to(dtype).repeat(len(instructions))
    told = Reading.cat([told if condition.text else null for condition in seen])
    image = torch.cat([image_latents * float(condition.image) for condition in seen]).to(dtype)

    try:
        scheduler.set_timesteps(steps, device=device)
    except ValueError as error:  # LCM takes as many as it was distilled for, 50
        name, why = type(scheduler).__name__, first_line(error).rstrip(".")
        raise UserError(f"steps is {steps}: {name} refuses ({why}). Give another number.") from error
    accepted = inspect.signature(scheduler.step).parameters
    options = {"generator": generators} if "generator" in accepted else {}
    shape = (1, *image_latents.shape[1:])
    noise = torch.cat([torch.randn(shape, generator=generator, dtype=dtype) for generator in generators])
    latents = noise.to(device) * scheduler.init_noise_sigma

    for number, t in enumerate(scheduler.timesteps, start=1):
        noisy = scheduler.scale_model_input(torch.cat([latents] * len(seen)), t)
        tap = None if on_attention is None else TokenTap(told.content[: len(latents)])  # e(I, T) is always the first
        predictions = ask(parts.unet, torch.cat([noisy, image], dim=1), t, told, parts.vae_factor, tap)
        if on_attention is not None and tap is not None:
            on_attention(on_one_grid(tap.maps, (latents.shape[-2], latents.shape[-1])))
        predictions = predictions.unflatten(0, (len(seen), -1))
        prediction = guide(predictions, guidance_scale, image_guidance_scale)
        latents = scheduler.step(prediction, t, latents, **options, return_dict=False)[0]
        if on_step is not None:
            clean = functools.partial(_estimate, scheduler, noisy[: len(latents)], prediction, t)
            on_step(number, len(scheduler.timesteps), clean)
    return latents


def _estimate(scheduler: Any, noisy: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
    """What the UNet saw and said at t → the clean latent in one step, whatever the scheduler makes of it."""
    config, at = scheduler.config, t.round().long().expand(len(noisy)).to(noisy.device)
    return one_step_estimate(noisy, prediction, scheduler.alphas_cumprod, at, config.prediction_type)
