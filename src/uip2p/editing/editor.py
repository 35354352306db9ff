"""Editor: any picture, an instruction, the edited picture in the same size."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from uip2p.editing.attention import Watch, WordMap, check_readable
from uip2p.editing.guidance import conditions
from uip2p.editing.instructions import check_instruction
from uip2p.editing.loading import Savers, load_editor
from uip2p.editing.residual import transfer
from uip2p.editing.reversibility import Check, Encoder, Words, edit_checked
from uip2p.editing.sampling import make_scheduler, noise_generators, sample
from uip2p.editing.sizes import working_size
from uip2p.errors import UserError
from uip2p.images import Source, load_image, to_pil, to_tensor
from uip2p.models.parts import Parts, check_editor

VISIBLE = 16  # of 255: a pixel that moved by more has changed


@dataclass(frozen=True, slots=True)
class Edited:
    """One edited picture (PIL RGB, the size of the source), and how it was made.

    working_size: (width, height) that the model saw. residual: whether the picture kept its own fine detail (see
    residual.py). changed: share of its pixels that changed visibly, 0 to 1. evaluations: of the UNet, a step.
    seconds: its share of its batch's time, with all that a check took. check: what its reverse says of it, if asked
    for. candidates: the checks of all that it is the best of, if of several. attention: one map for each word of the
    instruction, if asked for.
    """

    image: Image.Image
    instruction: str
    seed: int
    steps: int
    guidance_scale: float
    image_guidance_scale: float
    scheduler: str
    evaluations: int
    working_size: tuple[int, int]
    residual: bool
    changed: float
    seconds: float
    check: Check | None = None
    candidates: tuple[Check, ...] = ()
    attention: tuple[WordMap, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A batch's sampling, one step further: number, from 1 to total. preview(): the pictures as this step saw their
    end, PIL at the working size, decoded when asked for: by the tiny decoder, or where there is none by the whole one.
    """

    number: int
    total: int
    preview: Callable[[], list[Image.Image]]


class Editor:
    """An editing model, ready to use: `Editor.from_pretrained("mini")(picture, "make the car blue")`."""

    def __init__(self, parts: Parts):
        self.parts = check_editor(parts)
        self.settings = parts.settings

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini",
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "fp32",
        *,
        lora: str | Path | None = None,
        tiny_decoder: str | Path | None = None,
        runtime: str | None = None,
        **savers: Any,
    ) -> Editor:
        """name: "mini" (shipped), a folder, a hub id or a single .safetensors file. device: None is the best there is.
        dtype: fp32, fp16 or bf16. lora: a LoRA to merge in, a file, its folder or a hub id; `name` is then its base.
        tiny_decoder: an AutoencoderTiny for previews and drafts (see `edit`), such as "tiny-sd". runtime: of an
        ONNX folder, onnxruntime (as it is) or openvino. savers: the fields of
        `loading.Savers`, which take less memory or time. UserError: what is not there, or does not go together.
        """
        return cls(load_editor(name, device, dtype, lora, tiny_decoder, Savers(**savers), runtime))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.parts.device

    @property
    def vae(self) -> Any:
        return self.parts.vae

    def __call__(self, image: Source | Sequence[Source], instruction: str | Sequence[str], **options: Any) -> Any:
        """A picture and an instruction -> the edited picture (PIL); a list in either place -> a list. See `edit`."""
        edited = [result.image for result in self.edit(image, instruction, **options)]
        return edited if _is_list(image) or _is_list(instruction) else edited[0]

    @torch.no_grad()
    def edit(
        self,
        image: Source | Sequence[Source],
        instruction: str | Sequence[str],
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        seed: int | Sequence[int] = 0,
        scheduler: str | Any | None = None,
        residual: bool = True,
        batch_size: int = 8,
        draft: bool = False,
        progress: Callable[[int], Any] | None = None,
        on_step: Callable[[Step], Any] | None = None,
        attention: bool = False,
        check: bool = False,
        best_of: int = 1,
        reverse: str | Sequence[str | None] | None = None,
        caption: str | Sequence[str | None] | None = None,
        edited_caption: str | Sequence[str | None] | None = None,
        clip: Encoder = None,
    ) -> list[Edited]:
        """Edits pictures of any format and size (see `images.load_image`), in batches; results in the order given.

        image, instruction, seed: one for all, or a list. None: the model's default. scheduler: a name, see sampling.py,
        or a diffusers scheduler. residual: pictures larger than the model's size keep their own fine detail. A result
        does not depend on the batch it is in. draft: decode by the tiny decoder, in less time and memory, a little
        less finely. progress is called with the number of pictures just finished; on_step after each denoising step of
        a batch, with a `Step`. Either may raise, whatever it likes, to stop. attention: say where each word looked
        (`Edited.attention`, see attention.py).

        check: apply the reverse instruction to each result, and say how well the picture comes back (`Edited.check`,
        see reversibility.py). best_of: make this many, of seeds seed, seed + 1, …, check all, keep the best. Both take
        a reverse instruction and captions before and after, one for all or a list, None where the grammar of the
        miniature world is to work them out; and clip, the encoder, None for a shipped model's own.
        UserError: an unreadable picture, a bad instruction (`instructions.check_instruction`), no reverse, no encoder,
        a bad number, or a model whose attention cannot be read.
        """
        words = [reverse, caption, edited_caption]
        given: list[Any] = [image, instruction, seed, *words]
        count = max([len(value) for value in given if _is_list(value)], default=1)
        pictures = [load_image(source) for source in _each(image, count, "pictures")]
        texts = [check_instruction(text, self.parts) for text in _each(instruction, count, "instructions")]
        seeds = _each(seed, count, "seeds")
        options = self.check_options(steps, guidance_scale, image_guidance_scale, seeds)
        if draft and self.parts.tiny is None:
            raise UserError("a draft is decoded by a tiny decoder: load the model with one (`tiny_decoder=`).")
        if attention:
            check_readable(self.parts)
        if check or best_of != 1:
            said = zip(*(_each(value, count, "texts for a check") for value in words), strict=True)
            return edit_checked(
                self, pictures, texts, seeds, [Words(*each) for each in said], best_of=best_of, clip=clip,
                batch_size=batch_size, progress=progress, scheduler=scheduler, residual=residual, draft=draft,
                on_step=on_step, attention=attention, **options,
            )  # fmt: skip
        if any(value is not None for value in (*words, clip)):
            raise UserError("a reverse instruction, captions and clip are for a check: ask for `check` or `best_of`.")
        schedule = make_scheduler(self.parts, scheduler)

        sizes = [working_size(picture.size, self.settings.image_size, self.parts.size_multiple) for picture in pictures]
        results: list[Edited | None] = [None] * count
        for size in sorted(set(sizes)):
            same = [index for index in range(count) if sizes[index] == size]
            for batch in (same[start : start + batch_size] for start in range(0, len(same), batch_size)):
                began = time.perf_counter()
                images = [pictures[index] for index in batch]
                made = self._edit_batch(
                    images, size, [texts[index] for index in batch], [seeds[index] for index in batch],
                    residual, draft, on_step, attention, scheduler=schedule, **options,
                )  # fmt: skip
                seconds = (time.perf_counter() - began) / len(batch)
                for index, (picture, used_residual, looked) in zip(batch, made, strict=True):
                    results[index] = Edited(
                        image=picture, instruction=texts[index], seed=seeds[index], **options,
                        scheduler=type(schedule).__name__,
                        evaluations=len(conditions(options["guidance_scale"], options["image_guidance_scale"])),
                        working_size=size, residual=used_residual,
                        changed=changed_share(pictures[index], picture), seconds=seconds, attention=looked,
                    )  # fmt: skip
                if progress:
                    progress(len(batch))
        return [result for result in results if result is not None]

    def _edit_batch(
        self, pictures: list[Image.Image], size: tuple[int, int], texts: list[str], seeds: list[int],
        residual: bool, draft: bool, on_step: Callable[[Step], Any] | None, attention: bool,
        **options: Any,
    ) -> list[tuple[Image.Image, bool, tuple[WordMap, ...]]]:  # fmt: skip
        """Pictures of one working size -> (edited picture, whether by residual transfer, where it looked) for each."""

        def preview(estimate: Callable[[], torch.Tensor]) -> list[Image.Image]:
            return [to_pil(picture) for picture in self._decode(estimate(), self.parts.tiny is not None)]

        def tell(number: int, total: int, estimate: Callable[[], torch.Tensor]) -> None:
            if on_step is not None:
                on_step(Step(number, total, functools.partial(preview, estimate)))

        x = torch.stack([to_tensor(_resized(picture, size)) for picture in pictures])
        latents = self.vae.encode(x.to(self.device, self.vae.dtype)).latent_dist.mode()
        generators, watch = noise_generators(seeds), Watch() if attention else None
        z = sample(self.parts, latents, texts, generators, on_step=tell, on_attention=watch, **options)
        looked = watch.word_maps(texts, self.parts.tokenizer) if watch else [()] * len(pictures)
        edited = self._decode(z, draft)
        large = [residual and picture.width * picture.height > math.prod(size) for picture in pictures]
        round_trip = self._decode(latents * self.vae.config.scaling_factor, draft) if any(large) else edited
        results = []
        for index, picture in enumerate(pictures):
            if large[index]:
                out = Image.fromarray(transfer(np.asarray(picture), edited[index], round_trip[index]))
            else:
                out = _resized(to_pil(edited[index]), picture.size)
            results.append((out, large[index], looked[index]))
        return results

    @torch.no_grad()
    def _decode(self, z: torch.Tensor, draft: bool) -> torch.Tensor:
        """Latents as the UNet has them [B, C, h, w] -> pictures [B, 3, H, W], about -1 to 1."""
        if draft:
            return self.parts.tiny.decode(z.to(self.parts.tiny.dtype)).sample
        return self.vae.decode((z / self.vae.config.scaling_factor).to(self.vae.dtype)).sample

    def check_options(
        self, steps: int | None, guidance_scale: float | None, image_guidance_scale: float | None, seeds: list[int]
    ) -> dict[str, Any]:
        """The model's defaults for what is None, as options of `sample`. UserError: a number outside its range."""
        defaults, most = self.settings, self.parts.scheduler.config.num_train_timesteps
        steps = defaults.steps if steps is None else steps
        text = defaults.guidance_scale if guidance_scale is None else guidance_scale
        image = defaults.image_guidance_scale if image_guidance_scale is None else image_guidance_scale
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
            raise UserError(f"steps is {steps!r}: give a whole number from 1 to {most}.")
        for name, value in (("guidance", text), ("image guidance", image)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
                raise UserError(f"{name} is {value!r}: give a number from 0 to 100.")
        for seed in seeds:
            if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
                raise UserError(f"seed is {seed!r}: give a whole number from 0 to 2^63 − 1.")
        return {"steps": steps, "guidance_scale": float(text), "image_guidance_scale": float(image)}


def changed_share(before: Image.Image, after: Image.Image) -> float:
    """The share of pixels, 0 to 1, whose red, green or blue moved by more than VISIBLE."""
    moved = np.asarray(before).astype(np.int16) - np.asarray(after)
    return float((np.abs(moved).max(axis=-1) > VISIBLE).mean())


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 4)


def _each(value: Any, count: int, what: str) -> list[Any]:
    """One for all, or exactly one each."""
    if not _is_list(value):
        return [value] * count
    if len(value) != count:
        raise UserError(f"{len(value)} {what} for {count} edits: give one for all, or one for each.")
    return list(value)
