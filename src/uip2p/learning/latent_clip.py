"""Training a CLIP that reads latents: what the loss encoder says of a picture, said from the picture's latents.

Latent-CLIP (arXiv 2503.08455) is trained from nothing on 2.7 billion pairs. Here, as Instruct-CLIP's encoder of latents
learns from DINOv2 (arXiv 2503.18406), it starts as the loss encoder with a new patch embedding and learns to agree with
it, which takes pictures alone: no captions, no edits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn

from uip2p.learning.augment import AugmentConfig, augment
from uip2p.learning.losses import similarity_loss
from uip2p.learning.objective import Batch, Outcome, pictures
from uip2p.learning.randomness import Draw
from uip2p.models.clip import Clip, LatentClip


@dataclass(frozen=True, slots=True)
class LatentClipConfig:
    """patches: weight of agreeing on every patch's last state. augment: of the pictures before they are encoded; the
    one-step estimates that it will look at are blurred and noisy."""

    patches: float = 1.0
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(noise=0.3, shift=0.06, zoom=0.1, blur=1.0))


class LatentClipObjective(nn.Module):
    """1 − cos(S(s · E(x)), CLIP(x)), and the same of the patches' states. Rows: image."""

    def __init__(self, student: LatentClip, teacher: Clip, vae: AutoencoderKL, config: LatentClipConfig):
        super().__init__()
        self.student, self.teacher, self.config = student.requires_grad_(False), teacher.freeze(), config
        self.vae = vae.eval().requires_grad_(False)
        for part in (student.model.vision_model, student.model.visual_projection):
            part.requires_grad_(True)  # the text half stays the teacher's

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        x = augment(pictures(batch, device=self.vae.device), self.config.augment, draw, "augment")
        with torch.no_grad():
            z = self.vae.encode(x).latent_dist.mode() * self.vae.config.scaling_factor
            whole, patches = self.teacher.embed_patches(x)
        told, told_patches = self.student.embed_patches(z)
        losses = {
            "embedding": similarity_loss(told, whole),
            "patches": self.config.patches * similarity_loss(told_patches, patches).mean(1),
        }
        return Outcome(losses)

    def samples(self, batch: Batch, draw: Draw) -> None:
        return None

    def export(self, folder: Path) -> None:
        self.student.save(folder)
