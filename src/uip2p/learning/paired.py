"""InstructPix2Pix's supervised objective, for the baselines. The only objective that is given edited pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from uip2p.images import grid, to_uint8
from uip2p.learning.denoise import draw_latents
from uip2p.learning.diffusion import add_noise, training_target
from uip2p.learning.objective import Batch, Outcome, conditioning_dropout, drop, pictures, texts
from uip2p.learning.randomness import Draw
from uip2p.models.folder import Settings, save_settings
from uip2p.models.latent_editor import LatentEditor


@dataclass(frozen=True, slots=True)
class PairedConfig:
    """dropout: u of InstructPix2Pix's conditioning dropout: text null for 2u of the samples, image null for 2u."""

    dropout: float = 0.05


class PairedObjective(nn.Module):
    """‖U([z_t, c], t, F) − target‖², z of the edited picture, c of the source. Rows: source, target, instruction."""

    def __init__(self, editor: LatentEditor, config: PairedConfig, settings: Settings):
        super().__init__()
        self.editor, self.config, self.settings = editor, config, settings

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        editor = self.editor
        x = torch.cat([pictures(batch, key, editor.device) for key in ("target", "source")])
        latents, conditions = editor.encode(x)
        z, c = latents[: len(batch)], conditions[len(batch) :]
        no_text, no_image = conditioning_dropout(draw, self.config.dropout)
        told = editor.read(drop(texts(batch, "instruction"), no_text))
        t = draw.integers("timestep", len(editor.alpha_bar)).to(x.device)
        noise = draw.normal("noise", tuple(z.shape[1:])).to(x.device)
        noisy = add_noise(z, noise, editor.alpha_bar, t)
        prediction = editor.predict(noisy, c * (~no_image).to(c).view(-1, 1, 1, 1), t, told)
        target = training_target(z, noise, editor.alpha_bar, t, editor.prediction_type)
        return Outcome({"denoise": (prediction - target).square().flatten(1).mean(1)})

    @torch.no_grad()
    def samples(self, batch: Batch, draw: Draw) -> np.ndarray:
        """Rows: sources, edits in five steps, the targets that were trained on."""
        editor, batch = self.editor, batch[:10]
        source, target = (pictures(batch, key, editor.device) for key in ("source", "target"))
        z, c = editor.encode(source)
        told = editor.read(texts(batch, "instruction"))
        drawn = draw_latents(editor, draw.normal("sample", tuple(z.shape[1:])).to(z.device), c, told, steps=5)
        return np.asarray(
            grid(
                [*to_uint8(source), *to_uint8(editor.decode(drawn).clamp(-1, 1)), *to_uint8(target)], columns=len(batch)
            )
        )

    def export(self, folder: Path) -> None:
        self.editor.save(folder)
        save_settings(self.settings, folder)
