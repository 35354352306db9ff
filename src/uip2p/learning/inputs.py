"""What an objective needs of its rows, computed now or read from a cache (`cache.py`): latents, readings, embeddings.

A cached row has beside its texts and picture, with K the number of loss encoders:
    latent_mean, latent_std [C, h, w]       E(x)'s posterior, not scaled
    instruction/…, reverse_instruction/…    what the text encoders make of them: states [T, W], content [T], pooled [P]
    clip_image, clip_caption, clip_edited   [K, D] each, unit length
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from uip2p.learning.objective import Batch, drop, texts
from uip2p.models.clip import Clip
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.reading import Reading


def stacked(batch: Batch, name: str, device: torch.device) -> Tensor:
    """A cached array of every row, float32 [B, …] on the device."""
    return torch.from_numpy(np.stack([row[name] for row in batch])).to(device, non_blocking=True).float()


def latents(editor: LatentEditor, batch: Batch, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """(z, c) of pictures x [B, 3, H, W], as `LatentEditor.encode` gives them."""
    if "latent_mean" not in batch[0]:
        return editor.encode(x, noise)
    mean, std = stacked(batch, "latent_mean", x.device), stacked(batch, "latent_std", x.device)
    return (mean + std * noise) * editor.vae.config.scaling_factor, mean


def readings(editor: LatentEditor, batch: Batch, keys: Sequence[str], dropped: Tensor) -> Reading:
    """Row i's text batch[i][keys[i]], or the null text where `dropped` (bool [B], on the CPU) says so."""
    if f"{keys[0]}/states" not in batch[0]:
        return editor.read(drop([row[key] for row, key in zip(batch, keys, strict=True)], dropped))

    def of(part: str) -> Tensor:
        arrays = np.stack([row[f"{key}/{part}"] for row, key in zip(batch, keys, strict=True)])
        return torch.from_numpy(arrays).to(editor.device, non_blocking=True)

    pooled = of("pooled").float() if f"{keys[0]}/pooled" in batch[0] else None
    told = Reading(of("states").float(), of("content"), pooled)
    if not dropped.any():
        return told
    null, index = editor.read([""]), dropped.nonzero().flatten().to(editor.device)
    null = null.repeat(len(index))
    return Reading(
        told.states.index_copy(0, index, null.states.float()),
        told.content.index_copy(0, index, null.content),
        None if pooled is None or null.pooled is None else pooled.index_copy(0, index, null.pooled.float()),
    )


def caption_embeddings(clip: Clip, number: int, batch: Batch) -> tuple[Tensor, Tensor]:
    """E(T_in), E(T_ed) [B, D] by loss encoder `number`."""
    if "clip_caption" in batch[0]:
        both = (stacked(batch, name, clip.mean.device)[:, number] for name in ("clip_caption", "clip_edited"))
        source, edited = both
        return source, edited
    with torch.no_grad():
        source, edited = clip.embed_texts(texts(batch, "caption") + texts(batch, "edited_caption")).chunk(2)
    return source, edited
