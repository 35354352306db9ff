"""The denoising loop: from noise to the edited latent, beside the latent of the picture that is edited."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from uip2p.editing.guidance import conditions, guide
from uip2p.models.folder import Parts
from uip2p.models.reading import Reading, ask, read


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
) -> Tensor:
    """image_latents [B, C, h, w], E(x).mode(), unscaled; B instructions; B generators -> z [B, C, h, w].

    D(z / scaling_factor) is the edited picture: diffusers' own StableDiffusionInstructPix2PixPipeline gives the same
    for the same generators, scheduler and scales. scheduler: any of diffusers', not shared (it keeps state).
    """
    device, dtype = parts.unet.device, parts.unet.dtype
    seen = conditions(guidance_scale, image_guidance_scale)

    told = read(parts, instructions).to(dtype)
    null = read(parts, [""]).to(dtype).repeat(len(instructions))
    told = Reading.cat([told if condition.text else null for condition in seen])
    image = torch.cat([image_latents * float(condition.image) for condition in seen]).to(dtype)

    scheduler.set_timesteps(steps, device=device)
    accepted = inspect.signature(scheduler.step).parameters
    options = {"generator": generators} if "generator" in accepted else {}
    shape = (1, *image_latents.shape[1:])
    noise = torch.cat([torch.randn(shape, generator=generator, dtype=dtype) for generator in generators])
    latents = noise.to(device) * scheduler.init_noise_sigma

    for t in scheduler.timesteps:
        noisy = scheduler.scale_model_input(torch.cat([latents] * len(seen)), t)
        predictions = ask(parts.unet, torch.cat([noisy, image], dim=1), t, told, parts.vae_factor)
        predictions = predictions.unflatten(0, (len(seen), -1))
        prediction = guide(predictions, guidance_scale, image_guidance_scale)
        latents = scheduler.step(prediction, t, latents, **options, return_dict=False)[0]
    return latents
