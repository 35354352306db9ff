"""Any diffusers pipeline that edits by instruction, run by diffusers itself and told apart by its signature alone.

    diffusers:ID[?OPTIONS]   a folder, a hub id (owner/name, or owner/name@revision) or a short name, such as mini

A pipeline is an editor if its `__call__` takes `image`, `prompt` and `generator`. One that takes both `guidance_scale`
and `image_guidance_scale` has the two scales of InstructPix2Pix's eq. 3 (InstructPix2Pix, MagicBrush, UltraEdit,
SDXL-IP2P): a benchmark's scales and its working size are meant for it. The guidance of any other (FLUX.1 Kontext,
Qwen-Image-Edit) is another quantity under a like name: it is not `tunable`, and stays at the pipeline's own default, as
its working area does, whatever the protocol says.

OPTIONS are those of `loading`, and any number, text or flag of the `__call__`: guidance_scale=2.5, true_cfg_scale=4,
num_inference_steps=28, height=512. What they fix is not tunable either.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from uip2p.editing.sampling import SCHEDULERS, noise_generators
from uip2p.editing.sizes import working_size
from uip2p.errors import UserError, first_line
from uip2p.evaluate.asking import Ask, Sampling
from uip2p.evaluate.editors import Pictures, RoundTrip, split_options, told
from uip2p.evaluate.editors.loading import LOADING, load_pipeline, seat
from uip2p.images import to_pil, to_tensor
from uip2p.models.quiet import quiet

ARGUMENTS = {
    "steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "image_guidance_scale": "image_guidance_scale",
}
SCALES = ("guidance_scale", "image_guidance_scale")
MASKS = ("mask_img", "mask_image")  # white: change whatever you like
OURS = ("image", "prompt", "generator", "output_type", "return_dict", "num_images_per_prompt", *MASKS)


def open_editor(reference: str, name: str, device: str | None, dtype: str, batch_size: int) -> Pipeline:
    """UserError: what is there is no editing pipeline, or cannot be loaded."""
    place, options = split_options(reference)
    loading = {key: options.pop(key) for key in LOADING if key in options}
    pipeline, about = load_pipeline(place, {"dtype": dtype, **loading})
    editor = Pipeline(name, pipeline, batch_size, fixed_arguments(name, pipeline, options), about)
    seat(pipeline, device, loading.get("offload", ""))
    return editor


def parameters(pipeline: Any) -> dict[str, inspect.Parameter]:
    """Of its `__call__`, by name."""
    return dict(inspect.signature(type(pipeline).__call__).parameters)


def fixed_arguments(name: str, pipeline: Any, options: dict[str, str]) -> dict[str, Any]:
    """Options → arguments of the pipeline's `__call__`. UserError: it has none of that name, or not of that kind."""
    known, fixed = parameters(pipeline), {}
    for key, text in options.items():
        can = [
            other for other, parameter in known.items()
            if other not in (*OURS, "self") and isinstance(parameter.default, (int, float, str, type(None)))
        ]  # fmt: skip
        if key not in can:
            raise UserError(
                f"{name}: {type(pipeline).__name__} takes no {key!r}. It can be told {', '.join(can)}; and there are "
                f"{', '.join(LOADING)}."
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        default = known[key].default
        numbers = isinstance(default, (int, float)) and not isinstance(default, bool)
        if isinstance(value, (list, dict)) or (numbers and not isinstance(value, (int, float))):
            raise UserError(f"{name}: {key} is {text!r}: give a value such as {default!r}.")
        fixed[key] = value
    return fixed


class Pipeline:
    """A loaded diffusers pipeline under test. about: its identity and what it was loaded with, for `describe`.

    A pipeline of two scales works at `Sampling.size`. Without a size, and any other pipeline always, works at its own
    training area, in the proportions of the picture (of what the size makes of it). What a safety checker marks is no
    picture: it is loaded without one, and an output that is marked all the same is an error, not a black picture."""

    def __init__(
        self,
        name: str,
        pipeline: Any,
        batch_size: int = 8,
        fixed: dict[str, Any] | None = None,
        about: dict[str, Any] | None = None,
    ):
        self.name, self.pipeline, self.fixed, self.about = name, pipeline, fixed or {}, about or {}
        self.parameters, kind = parameters(pipeline), type(pipeline).__name__
        if lacking := [key for key in ("image", "prompt", "generator") if key not in self.parameters]:
            raise UserError(
                f"{name}: {kind} does not edit by instruction: its call takes no {' and no '.join(lacking)}."
            )
        self.two_scales = all(key in self.parameters for key in SCALES)
        # Those of two scales pad every prompt to the same length. Others pad to the longest of a batch, or take one.
        self.batch_size = batch_size if self.two_scales else 1
        # Kontext and Qwen bring the picture to the sizes that they read it in, once they know what size to make
        self.resizes = not self.two_scales and {"height", "width"} <= self.parameters.keys()
        self.scheduler = pipeline.scheduler
        self.sampling = Sampling()

    @property
    def tunable(self) -> frozenset[str]:
        names = [] if self.fixed.keys() & {"height", "width"} else ["size"]
        for field in ("steps", *(SCALES if self.two_scales else ())):
            argument = ARGUMENTS[field]
            if argument in self.parameters and argument not in self.fixed:
                names.append(field)
        if "beta_schedule" in self.scheduler.config:  # a variance-preserving diffusion: what SCHEDULERS are for
            names.append("scheduler")
        return frozenset(names)

    def describe(self) -> dict[str, Any]:
        arguments = self._arguments()
        used = {field: arguments.get(argument) for field, argument in ARGUMENTS.items()}
        if not self.two_scales:
            used |= dict.fromkeys(SCALES)
        return {
            "adapter": "diffusers", "pipeline": type(self.pipeline).__name__, **self.about,
            "sampling": {
                **used, "scheduler": type(self._scheduler()).__name__, "size": self.sampling.size,
            },
            "arguments": arguments, "side": self._side(), **self._guided(),
        }  # fmt: skip

    def _guided(self) -> dict[str, bool]:
        """diffusers' pipelines of two scales leave out both guidances, without a word, unless text is above 1 and image
        at least 1. So does this project's sampling."""
        if not self.two_scales:
            return {}
        text, image = (self._arguments()[key] for key in SCALES)
        return {"guided": text > 1 and image >= 1}

    def edit(self, asks: Sequence[Ask]) -> Pictures:
        made: dict[int, Image.Image] = {}
        sizes = [self._size(ask.image) for ask in asks]
        for size in sorted(set(sizes)):
            same = [index for index in range(len(asks)) if sizes[index] == size]
            for batch in (same[start : start + self.batch_size] for start in range(0, len(same), self.batch_size)):
                made |= dict(zip(batch, self._edit_batch([asks[index] for index in batch], size), strict=True))
        return [made[index] for index in range(len(asks))]

    def _edit_batch(self, asks: list[Ask], size: tuple[int, int]) -> Pictures:
        """One question is asked as one, for pipelines that take a list as several pictures of one edit
        (Qwen-Image-Edit-2509)."""
        width, height = size
        pictures = [self._sized(ask.image) for ask in asks]
        if not self.resizes:
            pictures = [_resized(picture, size) for picture in pictures]
        arguments: dict[str, Any] = {
            "image": pictures, "prompt": [ask.instruction for ask in asks],
            "generator": noise_generators([ask.seed for ask in asks]),
        }  # fmt: skip
        for mask in self.parameters.keys() & MASKS:
            arguments[mask] = [Image.new("L", picture.size, 255) for picture in pictures]
        if len(asks) == 1:
            arguments = {key: value[0] for key, value in arguments.items()}
        if {"height", "width"} <= self.parameters.keys():
            arguments |= {"height": height, "width": width}
        arguments |= self._arguments()
        if "max_area" in self.parameters:
            arguments["max_area"] = width * height  # else Kontext rounds the size that it is told once more
        if len(asks) > 1 and "negative_prompt" in arguments:
            arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(asks)
        self.pipeline.scheduler = self._scheduler()
        self.pipeline.set_progress_bar_config(disable=True)
        try:
            with quiet(), torch.no_grad():
                output = self.pipeline(**arguments)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{self.name}: {asks[0].key}: {len(asks)} of {width}×{height} do not fit into memory "
                f"({first_line(error)}): take a smaller batch, ?dtype=bf16 or ?offload=model."
            ) from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UserError(f"{self.name}: {asks[0].key}: the pipeline refuses: {first_line(error)}") from error
        marked = getattr(output, "nsfw_content_detected", None) or []
        if any(marked):
            ask = asks[list(marked).index(True)]
            raise UserError(
                f"{self.name}: {ask.key}: its safety checker put a black picture in the place of the edit. Load the "
                "pipeline without it."
            )
        return [picture.convert("RGB") for picture in output.images]

    def sampled(self, sampling: Sampling) -> Pipeline:
        other = Pipeline(self.name, self.pipeline, self.batch_size, self.fixed, self.about)
        other.scheduler = self.scheduler
        other.sampling = asked = told(sampling, self).over(self.sampling)
        if asked.scheduler is not None and asked.scheduler not in SCHEDULERS:
            raise UserError(
                f"{self.name}: there is no scheduler {asked.scheduler!r}: give one of {', '.join(SCHEDULERS)}."
            )
        if asked.size is not None and self.two_scales and asked.size % self._multiple():
            raise UserError(f"{self.name}: size is {asked.size}: give a multiple of {self._multiple()} pixels.")
        return other

    def round_trip(self) -> RoundTrip | None:
        """AutoencoderKL, and Qwen-Image's, which sees a picture as a video of one frame. None: the pipeline has no
        `vae`, or one without a mode (VQ, deep compression)."""
        vae = getattr(self.pipeline, "vae", None)
        return self._round_trip if vae is not None and {"use_quant_conv", "z_dim"} & vae.config.keys() else None

    @torch.no_grad()
    def _round_trip(self, pictures: Sequence[Image.Image]) -> Pictures:
        vae, trips = self.pipeline.vae, []
        upcast = vae.dtype == torch.float16 and vae.config.get("force_upcast")
        if upcast:
            vae.float()  # SDXL's own overflows, and so the pipeline does the same
        for picture in pictures:
            x = to_tensor(_resized(self._sized(picture), self._size(picture)))[None]
            x = x.to(self.pipeline._execution_device, vae.dtype)
            if "z_dim" in vae.config:
                y = vae.decode(vae.encode(x[:, :, None]).latent_dist.mode()).sample[:, :, 0]
            else:
                y = vae.decode(vae.encode(x).latent_dist.mode()).sample
            trips.append(to_pil(y[0]))
        if upcast:
            vae.half()
        self.pipeline.maybe_free_model_hooks()
        return trips

    # What it is told, and at what size

    def _arguments(self) -> dict[str, Any]:
        """Numbers and texts of the call as they are used, the pipeline's own defaults filled in."""
        defaults = {key: self.parameters[key].default for key in (*ARGUMENTS.values(), "true_cfg_scale", "strength")
                    if key in self.parameters}  # fmt: skip
        asked = {argument: getattr(self.sampling, field) for field, argument in ARGUMENTS.items()}
        used = defaults | {key: value for key, value in asked.items() if value is not None} | self.fixed
        if (used.get("true_cfg_scale") or 0) > 1:  # such a guidance starts from what a negative prompt gives, if blank
            used.setdefault("negative_prompt", " ")
        return used

    def _scheduler(self) -> Any:
        """A fresh one: they keep state."""
        name = self.sampling.scheduler
        return (SCHEDULERS[name] if name else type(self.scheduler)).from_config(self.scheduler.config)

    def _side(self) -> int:
        """Of the square of its training area, in pixels."""
        if "max_area" in self.parameters:
            return math.isqrt(self.fixed.get("max_area", self.parameters["max_area"].default))
        network: Any = getattr(self.pipeline, "unet", None) or self.pipeline.transformer
        latent = getattr(self.pipeline, "default_sample_size", None) or network.config.get("sample_size") or 128
        return int(np.max(latent)) * int(self.pipeline.vae_scale_factor)

    def _multiple(self) -> int:
        """Sides are multiples of this many pixels: a UNet halves the latent, a transformer takes it in patches of 2."""
        unet = getattr(self.pipeline, "unet", None)
        halved = 2 ** (len(unet.config.block_out_channels) - 1) if unet is not None else 2
        return int(self.pipeline.vae_scale_factor) * halved

    def _sized(self, picture: Image.Image) -> Image.Image:
        side = self.sampling.size
        return picture if side is None else _resized(picture, (side, side))

    def _size(self, picture: Image.Image) -> tuple[int, int]:
        """(width, height) that it works in for this picture."""
        size = self._sized(picture).size
        given = self.two_scales and self.sampling.size is not None
        return size if given else working_size(size, self._side(), self._multiple())


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
