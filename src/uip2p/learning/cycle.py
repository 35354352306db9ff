"""The method: one training step applies the instruction, then the reverse instruction to its own result.

    z   = s · E(x);   c = E(x)                              the picture, as latent and as condition
    z_t = √ᾱ_t z + √(1−ᾱ_t) ε₁                              or a rollout's latent at t, see `start`
    z_e = x0(U([z_t, c], t, F));              I_e = D(z_e / s)      forward edit, one step
    z'  = √ᾱ_t' z_e + √(1−ᾱ_t') ε₂                          t' independent of t
    z_r = x0(U([z', z_e / s], t', R));        I_r = D(z_r / s)      reverse edit; gradients flow through z_e

and the four losses of `losses.py` hold x, I_e and I_r together. No edited picture exists anywhere.
Off in the paper's recipe, each a field of `CycleConfig`: augmentation in front of CLIP, the
prior (which keeps the model able to draw and to leave alone), the frozen base's direction, rollout input and
straight-through routing, shifted or truncated timesteps, an identity warm-up, a patch-level CLIP term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from uip2p.images import grid, to_uint8
from uip2p.learning.augment import AugmentConfig, augment
from uip2p.learning.denoise import draw_latents
from uip2p.learning.diffusion import add_noise, move_to, rollout_times, training_target
from uip2p.learning.frozen_base import FrozenBase
from uip2p.learning.inputs import caption_embeddings, latents, readings, stacked
from uip2p.learning.losses import (
    attention_loss,
    direction_loss,
    reconstruction_loss,
    root_mean_square,
    similarity_loss,
)
from uip2p.learning.objective import Batch, Outcome, conditioning_dropout, drop, pictures, texts
from uip2p.learning.randomness import Draw
from uip2p.learning.sharding import is_sharded
from uip2p.models.attention import Tap
from uip2p.models.clip import Clip
from uip2p.models.folder import Settings, save_settings
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.reading import Reading


@dataclass(frozen=True, slots=True)
class CycleConfig:
    """The paper's weights are the defaults; fields the paper does not mention are off."""

    direction: float = 1.0
    similarity: float = 1.0
    attention: float = 0.5
    reconstruction: float = 1.0
    direction_floor: float = 1e-3  # the least length of a move that counts as a direction: see `direction_loss`
    pixel_weight: float = 1.0  # of the pixel term inside the reconstruction
    attention_side: int = 16  # maps of layers up to this many positions a side
    attention_reduce: Literal["sum", "mean"] = "sum"  # over layers; "mean" does not grow with their number
    attention_maps: Literal["mean one", "standard"] = "mean one"  # how maps are compared: see `attention_loss`
    dropout: float = 0.05  # u of InstructPix2Pix's conditioning dropout
    min_timestep: int = 0  # t and t' are uniform in min_timestep..max_timestep
    max_timestep: int = 999
    timestep_shift: float = 1.0  # above 1: more of the noisy timesteps, s·u / (1 + (s − 1)·u) of a uniform u
    rollout: float = 0.0  # share of samples whose z_t comes from the model's own denoising, as at inference
    rollout_steps: int = 3
    straight_through: bool = False  # the reverse edit and CLIP see the finished sample: see `finish`
    identity_warmup: int = 0  # the first samples are only asked for what they already show: see `forward`
    patch: float = 0.0  # weight of the patch-level CLIP term inside the reconstruction
    prior: float = 0.0  # weight of ordinary denoising towards x under R: see `prior_loss`
    prior_null: float = 0.3  # share of the prior's samples without the image condition: plain drawing
    back_translation: float = 0.0  # share of them that start from the model's own edit instead of from x
    cycle_noise: float = 0.0  # largest deviation of noise on the edited picture that R is asked of: see `hand_over`
    base_direction: float = 0.0  # weight of the frozen base's opinion of the edit: see `frozen_base`
    base_guidance: float = 1.0  # guidance scale inside it; 1 costs two evaluations less
    augment: AugmentConfig = field(default_factory=AugmentConfig)


class CycleObjective(nn.Module):
    """UIP2P's objective. Rows: image, caption, instruction, edited_caption, reverse_instruction."""

    def __init__(self, editor: LatentEditor, clips: Sequence[Clip], config: CycleConfig, settings: Settings):
        """clips: the frozen loss encoders; with several, each CLIP term is their mean."""
        super().__init__()
        self.editor = editor
        self.clips = nn.ModuleList(clip.freeze() for clip in clips)
        self.config, self.settings = config, settings
        if config.base_direction:
            self.base = FrozenBase(editor)

    @property
    def encoders(self) -> list[Clip]:
        return cast(list[Clip], list(self.clips))

    def networks(self) -> list[nn.Module]:
        """What has weights that learn, for sharding."""
        return self.editor.networks()

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        editor, config = self.editor, self.config
        x = pictures(batch, device=editor.device)
        z, c = latents(editor, batch, x, self._normal(draw, "posterior", x))
        no_text, no_image = conditioning_dropout(draw, config.dropout)
        t, t_reverse = (self._timestep(draw, name) for name in ("t", "t'"))
        warming = torch.tensor([draw.step >= 0 and sample < config.identity_warmup for sample in draw.samples])
        # R asks for what x already shows: until the warm-up is over the "edit" is to leave the picture alone.
        asked = ["reverse_instruction" if warm else "instruction" for warm in warming]
        forward_text = readings(editor, batch, asked, no_text)
        reverse_text = readings(editor, batch, ["reverse_instruction"] * len(batch), no_text)
        seen = c * _column(~no_image.to(c.device))

        forward_tap, reverse_tap = (Tap(text.content, config.attention_side) for text in (forward_text, reverse_text))
        z_t = self.start(z, seen, t, forward_text, draw)
        z_e = editor.estimate(z_t, seen, t, forward_text, forward_tap)
        if config.straight_through:
            z_e = z_e + (self.finish(z_t, z_e, seen, t, forward_text) - z_e).detach()
        noise = self._latent_noise(draw, "ε₂", z)
        noisy = add_noise(z_e, noise, editor.alpha_bar, t_reverse)
        z_r = editor.estimate(noisy, self.hand_over(z_e, draw), t_reverse, reverse_text, reverse_tap)
        edited, reversed_ = editor.decode(torch.cat([z_e, z_r])).clamp(-1.2, 1.2).chunk(2)

        losses, logs = self.judge(batch, draw, x, edited, reversed_)
        if config.identity_warmup:  # at every step, or two processes might log different names
            warm = warming.to(x)
            losses["direction"], losses["similarity"] = ((1 - warm) * losses[k] for k in ("direction", "similarity"))
            losses["identity"] = warm * root_mean_square((edited - x).flatten(1))
        attention = attention_loss(forward_tap.maps, reverse_tap.maps, config.attention_reduce, config.attention_maps)
        losses["attention"] = config.attention * attention
        if config.prior:
            losses["prior"] = config.prior * self.prior_loss(batch, draw, z, c, z_e)
        if config.base_direction:
            losses["base_direction"] = config.base_direction * self.base_direction_loss(batch, draw, z, z_e)
        return Outcome(losses, logs)

    def start(self, z: Tensor, seen: Tensor, t: Tensor, told: Reading, draw: Draw) -> Tensor:
        """z_t, [B, C, h, w]: the noised source, or for a share of samples the model's own way from pure noise to t.

        The noised source leaks "copy" at small t, where inference sees a half-edited picture instead.
        """
        config, editor = self.config, self.editor
        noise = self._latent_noise(draw, "ε₁", z)
        z_t = add_noise(z, noise, editor.alpha_bar, t)
        chosen = draw.host.uniform("rollout") < config.rollout
        if not config.rollout or not (chosen.any() or is_sharded(editor.unet)):
            return z_t
        # Sharded, the UNet runs on all devices or on none: one without a sample to roll out runs it on one for nothing.
        used = chosen if chosen.any() else torch.arange(len(chosen)) == 0
        index = used.nonzero().flatten().to(z.device)
        noisy = noise[index]
        with torch.no_grad():
            times = rollout_times(t[index], config.rollout_steps, len(editor.alpha_bar) - 1)
            for now, following in pairwise(times):
                clean = editor.estimate(noisy, seen[index], now, told.take(index))
                noisy = move_to(noisy, clean, editor.alpha_bar, now, following)
        return z_t.index_copy(0, index, noisy) if chosen.any() else z_t

    @torch.no_grad()
    def finish(self, z_t: Tensor, z_e: Tensor, seen: Tensor, t: Tensor, told: Reading) -> Tensor:
        """The edit as inference would finish it, [B, C, h, w]: `rollout_steps` − 1 more deterministic steps from t on.

        Straight-through routing (ByG): what follows sees this value, and the gradient goes to the one-step estimate.
        """
        editor, steps = self.editor, self.config.rollout_steps
        times = [(t * k / steps).round().long() for k in range(steps, 0, -1)]
        noisy, clean = z_t, z_e
        for now, following in pairwise(times):
            noisy = move_to(noisy, clean, editor.alpha_bar, now, following)
            clean = editor.estimate(noisy, seen, following, told)
        return clean

    def hand_over(self, z_e: Tensor, draw: Draw) -> Tensor:
        """The edited picture as the condition of its reverse edit, [B, C, h, w].

        Two passes can agree on a code too faint to see, by which the second undoes what the first only hid (CycleGAN,
        arXiv 1712.02950). Noise of a random strength, up to `cycle_noise` latent deviations, drowns it.
        """
        if self.config.cycle_noise:
            strength = self.config.cycle_noise * draw.uniform("hand over/strength").to(z_e.device)
            z_e = z_e + _column(strength) * self._latent_noise(draw, "hand over/noise", z_e)
        return self.editor.condition(z_e)

    def judge(self, batch: Batch, draw: Draw, x: Tensor, edited: Tensor, reversed_: Tensor) -> tuple[dict, dict]:
        """The CLIP terms and the pixel term, from pictures [B, 3, H, W]."""
        config = self.config
        direction, similarity, home, cosine = [], [], [], []
        for number, clip in enumerate(self.encoders):
            source_text, edited_text = caption_embeddings(clip, number, batch)
            for view in range(config.augment.views):
                # One augmentation a sample for all three pictures, one call of CLIP for the two that need gradients.
                name = "augment" if view == 0 else f"augment/{view}"
                views = [augment(picture, config.augment, draw, name) for picture in (x, edited, reversed_)]
                e_source, p_source = self._embed_source(clip, number, batch, views[0])
                (e_edited, e_reversed), (_, p_reversed) = (
                    part.chunk(2) for part in clip.embed_patches(torch.cat(views[1:]))
                )
                direction.append(direction_loss(e_edited, e_source, edited_text, source_text, config.direction_floor))
                similarity.append(similarity_loss(e_edited, edited_text))
                home.append(reconstruction_loss(x, reversed_, e_source, e_reversed, config.pixel_weight))
                if config.patch:
                    home[-1] = home[-1] + config.patch * similarity_loss(p_reversed, p_source).mean(1)
                cosine.append((e_edited * e_source).sum(-1))
        mean = lambda values: torch.stack(values).mean(0)  # noqa: E731
        losses = {
            "direction": config.direction * mean(direction),
            "similarity": config.similarity * mean(similarity),
            "reconstruction": config.reconstruction * mean(home),
        }
        with torch.no_grad():
            magnitude = (edited - x).abs().flatten(1).mean(1)
            logs = {
                "edit_magnitude": magnitude,
                "clip_direction": 1 - mean(direction),
                "copy_rate": (mean(cosine) > 0.98).float(),
                "reverse_error": (reversed_ - x).abs().flatten(1).mean(1),
            }
        return losses, logs

    @torch.no_grad()
    def _embed_source(self, clip: Clip, number: int, batch: Batch, view: Tensor) -> tuple[Tensor, Tensor]:
        """E(I_in) and its patches. Cached where it is seen as it is and nobody asks for patches."""
        if "clip_image" in batch[0] and self.config.augment == AugmentConfig() and not self.config.patch:
            known = stacked(batch, "clip_image", view.device)[:, number]
            return known, known  # the patches are not looked at
        return clip.embed_patches(view)

    def prior_loss(self, batch: Batch, draw: Draw, z: Tensor, c: Tensor, z_e: Tensor) -> Tensor:
        """Ordinary denoising towards the picture itself, [B]: x is the one picture known to be right.

        The reverse instruction R describes what x already shows ("make the car red" of a red car). So x is the right
        answer to R asked of x: leave alone what is already so. It is also the right answer to R asked of the model's
        own edit z_e (share `back_translation`, cut from the graph), the reverse pass with a real target, as
        back-translation does for languages. For a share `prior_null` the condition is null and the text the caption:
        keep knowing how to draw. No edited picture is ever a target.
        """
        editor, config = self.editor, self.config
        kind = draw.host.uniform("prior/kind")
        null = kind < config.prior_null
        back = ~null & (kind < config.prior_null + config.back_translation)
        kept, again = _column(~null.to(z.device)), _column(back.to(z.device))
        conditions = torch.where(again, self.hand_over(z_e.detach(), draw), c) * kept
        asked = texts(batch, "reverse_instruction")
        words = [row["caption"] if gone else text for row, gone, text in zip(batch, null.tolist(), asked, strict=True)]
        told = editor.read(drop(words, draw.host.uniform("prior/dropout") < 0.1))
        t = draw.integers("prior/t", len(editor.alpha_bar)).to(z.device)
        noise = self._latent_noise(draw, "prior/ε", z)
        noisy = add_noise(z, noise, editor.alpha_bar, t)
        prediction = editor.predict(noisy, conditions, t, told)
        target = training_target(z, noise, editor.alpha_bar, t, editor.prediction_type)
        return (prediction - target).square().flatten(1).mean(1)

    def base_direction_loss(self, batch: Batch, draw: Draw, z: Tensor, z_e: Tensor) -> Tensor:
        """What the frozen base would change in the edit beyond what it would change in the source, [B] ≥ 0. z, z_e:
        [B, C, h, w]. At noise where its word counts: with less it only copies, with more it guesses."""
        t = 100 + draw.integers("base/t", len(self.editor.alpha_bar) - 150).to(z.device)
        told = texts(batch, "caption"), texts(batch, "edited_caption")
        noise = self._latent_noise(draw, "base/ε", z)
        return self.base.direction_loss(self.editor, z, z_e, *told, t, noise, self.config.base_guidance)

    def alarm(self, logs: dict[str, float]) -> str | None:
        """Copying the input minimises reconstruction and attention: a run that falls into it says so."""
        if logs["copy_rate"] > 0.9 and logs["clip_direction"] < 0.1:
            return (
                f"identity collapse: {logs['copy_rate']:.0%} of the edits are copies of the input and the CLIP "
                f"direction is {logs['clip_direction']:.2f}. Raise the weights of direction and similarity, or lower "
                "reconstruction and prior."
            )
        return None

    @torch.no_grad()
    def samples(self, batch: Batch, draw: Draw) -> np.ndarray:
        """Rows: pictures, their edits in five steps, the reverse edits of those."""
        editor, batch = self.editor, batch[:10]
        x = pictures(batch, device=editor.device)
        z, c = editor.encode(x)
        rows = [*to_uint8(x)]
        for key in ("instruction", "reverse_instruction"):
            told = editor.read(texts(batch, key))
            z = draw_latents(editor, self._latent_noise(draw, f"sample/{key}", z), c, told, steps=5)
            c = editor.condition(z)
            rows += [*to_uint8(editor.decode(z).clamp(-1, 1))]
        return np.asarray(grid(rows, columns=len(batch)))

    def export(self, folder: Path) -> None:
        self.editor.save(folder)
        save_settings(self.settings, folder)

    def _timestep(self, draw: Draw, name: str) -> Tensor:
        low, high, shift = self.config.min_timestep, self.config.max_timestep, self.config.timestep_shift
        t = draw.integers(name, high - low + 1)
        if shift != 1:
            u = t / (high - low)
            t = (shift * u / (1 + (shift - 1) * u) * (high - low)).round().long()
        return (low + t).to(self.editor.device)

    def _latent_noise(self, draw: Draw, name: str, like: Tensor) -> Tensor:
        return draw.normal(name, tuple(like.shape[1:])).to(like.device)

    def _normal(self, draw: Draw, name: str, x: Tensor) -> Tensor:
        factor = self.editor.factor
        shape = (self.editor.vae.config.latent_channels, x.shape[-2] // factor, x.shape[-1] // factor)
        return draw.normal(name, shape).to(x.device)


def _column(values: Tensor) -> Tensor:
    """bool or float [B] → [B, 1, 1, 1]."""
    return values.view(-1, 1, 1, 1)
