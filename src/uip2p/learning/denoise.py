"""Training the base: a text-to-image model on captioned pictures only. No edits, no pairs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uip2p.images import grid, to_uint8
from uip2p.learning.diffusion import add_noise, move_to, rollout_times, training_target
from uip2p.learning.objective import Batch, Outcome, drop, pictures, texts
from uip2p.learning.randomness import Draw
from uip2p.models.folder import Settings, save_settings
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.widen import widen_conv_in


@dataclass(frozen=True, slots=True)
class DenoiseConfig:
    """text_dropout: share of captions replaced by the null text, so that guidance has something to guide from."""

    text_dropout: float = 0.1


class DenoiseObjective(nn.Module):
    """‖U(z_t, t, caption) − target‖², mean over the latent. Exported as an editor with a widened conv_in."""

    def __init__(self, editor: LatentEditor, config: DenoiseConfig, settings: Settings):
        super().__init__()
        self.editor, self.config, self.settings = editor, config, settings

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        x = pictures(batch, device=self.editor.device)
        z, _ = self.editor.encode(x)
        t = draw.integers("timestep", len(self.editor.alpha_bar)).to(x.device)
        noise = draw.normal("noise", tuple(z.shape[1:])).to(x.device)
        states, _ = self.editor.read(drop(texts(batch, "caption"), draw.uniform("dropout") < self.config.text_dropout))
        alpha_bar, kind = self.editor.alpha_bar, self.editor.prediction_type
        prediction = self.editor.predict(add_noise(z, noise, alpha_bar, t), None, t, states)
        target = training_target(z, noise, alpha_bar, t, kind)
        return Outcome({"denoise": (prediction - target).square().flatten(1).mean(1)})

    @torch.no_grad()
    def samples(self, batch: Batch, draw: Draw) -> np.ndarray:
        batch = batch[:8]
        x = pictures(batch, device=self.editor.device)
        shape = tuple(self.editor.encode(x)[0].shape[1:])
        noise = draw.normal("sample", shape).to(x.device)
        states, _ = self.editor.read(texts(batch, "caption"))
        drawn = self.editor.decode(draw_latents(self.editor, noise, None, states, steps=15)).clamp(-1, 1)
        return np.asarray(grid([*to_uint8(x), *to_uint8(drawn)], columns=len(batch)))

    def export(self, folder: Path) -> None:
        """The base as an editor that does not look at the picture yet: conv_in widened with zeros."""
        editor = self.editor
        wide = widen_conv_in(copy.deepcopy(editor.unet))
        LatentEditor(wide, editor.vae, editor.text_encoder, editor.tokenizer, editor.scheduler, train_text=True).save(
            folder
        )
        save_settings(self.settings, folder)


def draw_latents(editor: LatentEditor, noise: Tensor, image: Tensor | None, states: Tensor, steps: int) -> Tensor:
    """Deterministic sampling without guidance: noise [B, C, h, w] → clean latents."""
    last = len(editor.alpha_bar) - 1
    times = rollout_times(torch.zeros(len(noise), dtype=torch.long, device=noise.device), steps, last)
    noisy = noise
    clean = noise
    for t, following in pairwise(times):
        clean = editor.estimate(noisy, image, t, states)
        noisy = move_to(noisy, clean, editor.alpha_bar, t, following)
    return clean
