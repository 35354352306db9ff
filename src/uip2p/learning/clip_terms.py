"""The losses that look: the CLIP terms and the pixel term, from source, edit and reverse edit.

With loss encoders that read pictures these are pictures [B, 3, H, W]; with those that read latents (`LatentClip`) they
are latents [B, C, h, w], and so is what augmentation moves and what the pixel term compares.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uip2p.learning.augment import AugmentConfig, augment
from uip2p.learning.cycle_config import CycleConfig
from uip2p.learning.inputs import caption_embeddings, stacked
from uip2p.learning.losses import direction_loss, reconstruction_loss, similarity_loss
from uip2p.learning.objective import Batch
from uip2p.learning.randomness import Draw
from uip2p.models.clip import Clip


def clip_terms(
    clips: Sequence[Clip], config: CycleConfig, batch: Batch, draw: Draw, x: Tensor, edited: Tensor, reversed_: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(losses, logs), each by name, [B]: direction, similarity and reconstruction with their weights, the mean over the
    encoders and views."""
    direction, similarity, home, cosine, returned = [], [], [], [], []
    for number, clip in enumerate(clips):
        source_text, edited_text = caption_embeddings(clip, number, batch)
        for view in range(config.augment.views):
            # One augmentation a sample for all three pictures, one call of CLIP for the two that need gradients.
            name = "augment" if view == 0 else f"augment/{view}"
            views = [augment(picture, config.augment, draw, name) for picture in (x, edited, reversed_)]
            e_source, p_source = _embed_source(clip, number, config, batch, views[0])
            (e_edited, e_reversed), (_, p_reversed) = (
                part.chunk(2) for part in clip.embed_patches(torch.cat(views[1:]))
            )
            direction.append(direction_loss(e_edited, e_source, edited_text, source_text, config.direction_floor))
            similarity.append(similarity_loss(e_edited, edited_text))
            home.append(reconstruction_loss(x, reversed_, e_source, e_reversed, config.pixel_weight))
            if config.patch:
                home[-1] = home[-1] + config.patch * similarity_loss(p_reversed, p_source).mean(1)
            cosine.append((e_edited * e_source).sum(-1))
            returned.append((e_reversed * e_source).sum(-1))
    mean = lambda values: torch.stack(values).mean(0)  # noqa: E731
    losses = {
        "direction": config.direction * mean(direction),
        "similarity": config.similarity * mean(similarity),
        "reconstruction": config.reconstruction * mean(home),
    }
    with torch.no_grad():
        logs = {
            "edit_magnitude": (edited - x).abs().flatten(1).mean(1),
            "clip_direction": 1 - mean(direction),
            "clip_return": mean(returned),
            "copy_rate": (mean(cosine) > 0.98).float(),
            "reverse_error": (reversed_ - x).abs().flatten(1).mean(1),
        }
    return losses, logs


@torch.no_grad()
def _embed_source(clip: Clip, number: int, config: CycleConfig, batch: Batch, view: Tensor) -> tuple[Tensor, Tensor]:
    """E(I_in) and its patches. Cached where it is seen as it is and nobody asks for patches."""
    if "clip_image" in batch[0] and config.augment == AugmentConfig() and not config.patch:
        known = stacked(batch, "clip_image", view.device)[:, number]
        return known, known  # the patches are not looked at
    return clip.embed_patches(view)
