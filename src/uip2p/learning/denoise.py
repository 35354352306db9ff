"""Training the base: a text-to-image model on captioned pictures only. No edits, no pairs.

By option the base also sees a picture, for a share of the samples, beside the caption: the very picture that it has to
draw (identity), or that picture with a fault in it (repair). Every editor of a comparison may start from it alike.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uip2p.errors import UserError
from uip2p.images import grid, to_uint8
from uip2p.learning.diffusion import add_noise, move_to, rollout_times, training_target
from uip2p.learning.objective import Batch, Outcome, drop, pictures, texts
from uip2p.learning.randomness import Draw
from uip2p.learning.repair import damage
from uip2p.models.folder import Settings, save_settings
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.reading import Reading
from uip2p.models.widen import widen_conv_in


@dataclass(frozen=True, slots=True)
class DenoiseConfig:
    """text_dropout: share of captions replaced by the null text, so that guidance has something to guide from.
    identity: share of samples that see the picture itself. repair: share that see it with a fault, see `repair`."""

    text_dropout: float = 0.1
    identity: float = 0.0
    repair: float = 0.0

    def __post_init__(self) -> None:
        if min(self.identity, self.repair) < 0 or self.identity + self.repair > 1:
            raise UserError(f"identity and repair are shares, 0 to 1 together: got {self.identity} and {self.repair}.")

    @property
    def sees(self) -> float:
        """Share of samples that see a picture."""
        return self.identity + self.repair


class DenoiseObjective(nn.Module):
    """‖U(z_t, t, caption) − target‖², mean over the latent. Exported as an editor with a widened conv_in.

    Rows: image, caption; with `repair` also `other`, the picture that faults are taken from."""

    def __init__(self, editor: LatentEditor, config: DenoiseConfig, settings: Settings):
        super().__init__()
        self.editor, self.config, self.settings = editor, config, settings
        if config.sees:
            widen_conv_in(editor.unet)

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        x = pictures(batch, device=self.editor.device)
        z, c = self.editor.encode(x)
        t = draw.integers("timestep", len(self.editor.alpha_bar)).to(x.device)
        noise = draw.normal("noise", tuple(z.shape[1:])).to(x.device)
        told = self.editor.read(drop(texts(batch, "caption"), draw.host.uniform("dropout") < self.config.text_dropout))
        alpha_bar, kind = self.editor.alpha_bar, self.editor.prediction_type
        seen = self.condition(batch, x, c, draw)
        prediction = self.editor.predict(add_noise(z, noise, alpha_bar, t), seen, t, told)
        target = training_target(z, noise, alpha_bar, t, kind)
        return Outcome({"denoise": (prediction - target).square().flatten(1).mean(1)})

    def condition(self, batch: Batch, x: Tensor, c: Tensor, draw: Draw) -> Tensor | None:
        """The image latents that the samples see, [B, C, h, w], zero where they see none; None for a narrow UNet.

        c: those of x, the picture that is to be drawn."""
        config = self.config
        if not config.sees:
            return None
        kind = draw.host.uniform("condition")
        seen = c * (kind < config.sees).to(c.device).view(-1, 1, 1, 1)
        faulty = (kind < config.repair).nonzero().flatten().to(c.device)
        if len(faulty):
            damaged = damage(x, pictures(batch, "other", x.device), draw)[faulty]
            seen = seen.index_copy(0, faulty, self.editor.encode(damaged)[1].to(seen.dtype))
        return seen

    @torch.no_grad()
    def samples(self, batch: Batch, draw: Draw) -> np.ndarray:
        """Rows: pictures, drawings from their captions; with repair also faulty pictures and what is made of them."""
        editor, draw = self.editor, draw.part(slice(8))
        batch = batch[:8]
        x = pictures(batch, device=editor.device)
        z, c = editor.encode(x)
        noise = draw.normal("sample", tuple(z.shape[1:])).to(x.device)
        told = editor.read(texts(batch, "caption"))

        def drawn(condition: Tensor | None) -> np.ndarray:
            return to_uint8(editor.decode(draw_latents(editor, noise, condition, told, steps=15)).clamp(-1, 1))

        rows = [*to_uint8(x), *drawn(torch.zeros_like(c) if self.config.sees else None)]
        if self.config.repair:
            faulty = damage(x, pictures(batch, "other", x.device), draw)
            rows += [*to_uint8(faulty), *drawn(editor.encode(faulty)[1])]
        return np.asarray(grid(rows, columns=len(batch)))

    def export(self, folder: Path) -> None:
        """The base as an editor; one that never saw a picture does not look at it yet: conv_in widened with zeros."""
        editor = self.editor
        wide = widen_conv_in(copy.deepcopy(editor.unet))
        LatentEditor(wide, editor.vae, editor.text_encoder, editor.tokenizer, editor.scheduler, train_text=True).save(
            folder
        )
        save_settings(self.settings, folder)


def draw_latents(editor: LatentEditor, noise: Tensor, image: Tensor | None, told: Reading, steps: int) -> Tensor:
    """Deterministic sampling without guidance: noise [B, C, h, w] → clean latents."""
    last = len(editor.alpha_bar) - 1
    times = rollout_times(torch.zeros(len(noise), dtype=torch.long, device=noise.device), steps, last)
    noisy = noise
    clean = noise
    for t, following in pairwise(times):
        clean = editor.estimate(noisy, image, t, told)
        noisy = move_to(noisy, clean, editor.alpha_bar, t, following)
    return clean
