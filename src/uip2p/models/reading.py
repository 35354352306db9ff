"""From texts to what a UNet reads: one text encoder (Stable Diffusion), or two and a pooled embedding (SDXL)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from uip2p.models.attention import content_mask


@dataclass(frozen=True, slots=True)
class Reading:
    """B texts, read. states [B, T, W]; content bool [B, T], neither start, end nor padding; pooled [B, P], SDXL's."""

    states: Tensor
    content: Tensor
    pooled: Tensor | None = None

    def take(self, index: Tensor) -> Reading:
        """Of these texts only, int64 [K]."""
        return Reading(self.states[index], self.content[index], None if self.pooled is None else self.pooled[index])

    def to(self, dtype: torch.dtype) -> Reading:
        return Reading(self.states.to(dtype), self.content, None if self.pooled is None else self.pooled.to(dtype))

    def repeat(self, count: int) -> Reading:
        """One text for `count` pictures."""
        return self.take(torch.zeros(count, dtype=torch.long, device=self.states.device))

    @staticmethod
    def cat(readings: Sequence[Reading]) -> Reading:
        pooled = [reading.pooled for reading in readings if reading.pooled is not None]
        return Reading(
            torch.cat([reading.states for reading in readings]),
            torch.cat([reading.content for reading in readings]),
            torch.cat(pooled) if pooled else None,
        )


class Reader(Protocol):
    """What has text encoders: `folder.Parts` and `latent_editor.LatentEditor`. zero_null: whether the null text is
    read as zeros, as SDXL's pipelines do, and not as what the encoders make of it."""

    @property
    def text_encoder(self) -> Any: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def text_encoder_2(self) -> Any: ...
    @property
    def tokenizer_2(self) -> Any: ...
    @property
    def zero_null(self) -> bool: ...
    @property
    def device(self) -> torch.device: ...


def max_tokens(tokenizer: Any, encoder: Any) -> int:
    """The longest text, its start and end tokens included."""
    return min(tokenizer.model_max_length, encoder.config.max_position_embeddings)


def tokenize(tokenizer: Any, encoder: Any, texts: Sequence[str]) -> Tensor:
    """Texts → int64 [B, T] on the CPU, cut and padded to the longest that the encoder reads, as diffusers does."""
    limit = max_tokens(tokenizer, encoder)
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, max_length=limit, return_tensors="pt")
    return tokens.input_ids


def read(reader: Reader, texts: Sequence[str]) -> Reading:
    """Texts as diffusers' pipelines read them: SD's last states; SDXL's last but one of both encoders, side by side."""
    tokenizer = reader.tokenizer
    ids = tokenize(tokenizer, reader.text_encoder, texts).to(reader.device)
    content = content_mask(ids, (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id))
    if reader.text_encoder_2 is None:
        return Reading(reader.text_encoder(ids)[0], content)
    first = reader.text_encoder(ids, output_hidden_states=True)
    ids_2 = tokenize(reader.tokenizer_2, reader.text_encoder_2, texts).to(reader.device)
    second = reader.text_encoder_2(ids_2, output_hidden_states=True)
    states, pooled = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds
    if reader.zero_null:
        said = torch.tensor([bool(text) for text in texts], device=states.device).to(states.dtype)
        states, pooled = states * said[:, None, None], pooled * said[:, None]
    return Reading(states, content, pooled)


def ask(unet: Any, inputs: Tensor, t: Tensor, reading: Reading, factor: int, tap: Any = None) -> Tensor:
    """ε̂ or v̂ [B, C, h, w] of inputs [B, 2C, h, w] (or [B, C, h, w], a text-to-image UNet) at t, [B] or one for all.

    factor: pixels along a latent's side; SDXL is told the picture's size, uncropped. tap: see `attention.Tap`.
    """
    options: dict[str, Any] = {}
    if reading.pooled is not None:
        height, width = factor * inputs.shape[-2], factor * inputs.shape[-1]
        sizes = torch.tensor([height, width, 0, 0, height, width], device=inputs.device, dtype=reading.pooled.dtype)
        options["added_cond_kwargs"] = {"text_embeds": reading.pooled, "time_ids": sizes.expand(len(inputs), -1)}
    if tap is not None:
        options["cross_attention_kwargs"] = {"tap": tap}
    return unet(inputs, t, encoder_hidden_states=reading.states, **options).sample
