"""Editors of this project, sampled by this project's own code.

    NAME[?OPTIONS]   dtype=fp32 | fp16 | bf16, lora=a file, a folder or a hub id, offload=model | sequential
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from uip2p.editing.batch import what_was_loaded
from uip2p.editing.editor import Editor as Model
from uip2p.editing.instructions import check_instruction
from uip2p.editing.sampling import make_scheduler
from uip2p.editing.sizes import working_size
from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling
from uip2p.evaluate.editors import Pictures, RoundTrip, check_options, split_options, told
from uip2p.evaluate.rows import fingerprint
from uip2p.images import to_pil, to_tensor
from uip2p.models.folder import SHIPPED, resolve

OPTIONS = ("dtype", "lora", "offload")


def open_editor(reference: str, name: str, device: str | None, dtype: str, batch_size: int) -> Ours:
    """UserError: no such model, or an option that is not there."""
    place, options = split_options(reference)
    check_options(reference, options, OPTIONS)
    options = {"dtype": dtype, **options}
    return Ours(name, Model.from_pretrained(place, device, **options), batch_size)


class Ours:
    """`editing.editor.Editor` under test. model: loaded already. batch_size: changes the speed, never a result.

    Without a size it edits as it does for everybody: at its own size, and a larger picture keeps its own fine detail.
    With one, pictures are resized to it and the model works in just that: a model that was trained at 256 is evaluated
    at 512."""

    tunable = frozenset(("steps", "guidance_scale", "image_guidance_scale", "scheduler", "size"))

    def __init__(self, name: str, model: Model, batch_size: int = 8):
        self.name, self.model, self.batch_size = name, model, batch_size
        self.sampling = Sampling()
        self._identity: dict[str, Any] = {}  # filled when first asked for, and shared with what `sampled` makes of it

    def describe(self) -> dict[str, Any]:
        if not self._identity:
            self._identity |= identified(self.model)
        settings, asked = self.model.settings, self.sampling
        defaults = Sampling(settings.steps, settings.guidance_scale, settings.image_guidance_scale)
        used = asked.over(defaults)
        scheduler = make_scheduler(self.model.parts, asked.scheduler)
        return {
            "adapter": "uip2p", **self._identity,
            "sampling": {
                "steps": used.steps, "guidance_scale": float(used.guidance_scale or 0),
                "image_guidance_scale": float(used.image_guidance_scale or 0),
                "scheduler": type(scheduler).__name__, "size": asked.size,
            },
            "image_size": settings.image_size, "residual": asked.size is None,
        }  # fmt: skip

    def edit(self, asks: Sequence[Ask]) -> Pictures:
        for ask in asks:
            try:
                check_instruction(ask.instruction, self.model.parts)
            except UserError as error:
                raise UserError(f"{ask.key}: {error}") from None
        asked = self.sampling
        return self.model(
            [self._sized(ask.image) for ask in asks], [ask.instruction for ask in asks],
            steps=asked.steps, guidance_scale=asked.guidance_scale, image_guidance_scale=asked.image_guidance_scale,
            seed=[ask.seed for ask in asks], scheduler=asked.scheduler, residual=asked.size is None,
            batch_size=self.batch_size,
        ) if asks else []  # fmt: skip

    def sampled(self, sampling: Sampling) -> Ours:
        asked = told(sampling, self).over(self.sampling)
        parts = self.model.parts
        make_scheduler(parts, asked.scheduler)
        most = parts.scheduler.config.num_train_timesteps
        if asked.steps is not None and asked.steps > most:
            raise UserError(f"{self.name}: steps is {asked.steps}, and the model knows {most}: give fewer.")
        if asked.size is not None:
            if asked.size % parts.size_multiple:
                raise UserError(f"{self.name}: size is {asked.size}: give a multiple of {parts.size_multiple} pixels.")
            parts = replace(parts, settings=replace(parts.settings, image_size=asked.size))
        other = Ours(self.name, Model(parts), self.batch_size)
        other.sampling, other._identity = asked, self._identity
        return other

    def round_trip(self) -> RoundTrip | None:
        return self._round_trip

    @torch.no_grad()
    def _round_trip(self, pictures: Sequence[Image.Image]) -> Pictures:
        vae, trips = self.model.vae, []
        for picture in pictures:
            size = working_size(
                self._sized(picture).size, self.model.settings.image_size, self.model.parts.size_multiple
            )
            x = to_tensor(picture.resize(size, Image.Resampling.LANCZOS))[None].to(self.model.device, vae.dtype)
            trips.append(to_pil(vae.decode(vae.encode(x).latent_dist.mode()).sample[0]))
        return trips

    def _sized(self, picture: Image.Image) -> Image.Image:
        side = self.sampling.size
        return picture if side is None else picture.resize((side, side), Image.Resampling.LANCZOS)


def identified(model: Model) -> dict[str, Any]:
    """What was loaded, weights by their fingerprints: of a hub id those of the files that the hub gave."""
    loaded = what_was_loaded(model)
    name = str(model.parts.loaded.get("model", model.parts.name))
    if not Path(SHIPPED.get(name, Path(name))).exists():
        loaded["model"] = f"{name}@{fingerprint(resolve(name))}"
    return {key: value if isinstance(value, (bool, int, float)) or value is None else str(value)
            for key, value in loaded.items()}  # fmt: skip
