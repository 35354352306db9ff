"""The method: one training step applies the instruction, then the reverse instruction to its own result.

    z   = s · E(x);   c = E(x)                              the picture, as latent and as condition
    z_t = √ᾱ_t z + √(1−ᾱ_t) ε₁                              or a rollout's latent at t, see `start`
    z_e = x0(U([z_t, c], t, F));              I_e = D(z_e / s)      forward edit, one step
    z'  = √ᾱ_t' z_e + √(1−ᾱ_t') ε₂                          t' independent of t
    z_r = x0(U([z', z_e / s], t', R));        I_r = D(z_r / s)      reverse edit; gradients flow through z_e

and the four losses of `losses.py` hold x, I_e and I_r together. No edited picture exists anywhere.
Off in the paper's recipe, each a field of `CycleConfig`: augmentation in front of CLIP, the
prior (which keeps the model able to draw and to leave alone), the frozen base's direction, rollout input and
straight-through routing, shifted or truncated timesteps, an identity warm-up, a patch-level CLIP term, FIRM's
weighting. With loss encoders that read latents nothing is decoded: see `shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from uip2p.errors import UserError
from uip2p.images import grid, to_uint8
from uip2p.learning.clip_terms import clip_terms
from uip2p.learning.cycle_config import CycleConfig
from uip2p.learning.denoise import draw_latents
from uip2p.learning.diffusion import add_noise, move_to, rollout_times, training_target
from uip2p.learning.frozen_base import FrozenBase
from uip2p.learning.inputs import latents, readings
from uip2p.learning.losses import attention_loss, firm_reward, firm_weights, root_mean_square
from uip2p.learning.objective import Batch, Outcome, conditioning_dropout, drop, pictures, texts
from uip2p.learning.randomness import Draw
from uip2p.learning.sharding import is_sharded
from uip2p.models.attention import Tap
from uip2p.models.clip import Clip, LatentClip
from uip2p.models.folder import Settings, save_settings
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.reading import Reading

__all__ = ["CycleConfig", "CycleObjective"]

LATENT_RANGE = 6.0  # a picture's scaled latents stay within; an estimate at high noise may leave it by far


class CycleObjective(nn.Module):
    """UIP2P's objective. Rows: image, caption, instruction, edited_caption, reverse_instruction."""

    def __init__(self, editor: LatentEditor, clips: Sequence[Clip], config: CycleConfig, settings: Settings):
        """clips: the frozen loss encoders; with several, each CLIP term is their mean. Where they read latents (all of
        them or none), no loss needs a picture. UserError: some do and some do not."""
        super().__init__()
        latent = [isinstance(clip, LatentClip) for clip in clips]
        if any(latent) and not all(latent):
            raise UserError("model.clips: some of these read pictures and some latents; give one kind.")
        self.latent = any(latent)
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
        source, (edited, reversed_) = self.source(x, c), self.shown(torch.cat([z_e, z_r])).chunk(2)

        losses, logs = self.judge(batch, draw, source, edited, reversed_)
        if config.identity_warmup:  # at every step, or two processes might log different names
            warm = warming.to(x)
            losses["direction"], losses["similarity"] = ((1 - warm) * losses[k] for k in ("direction", "similarity"))
            losses["identity"] = warm * root_mean_square((edited - source).flatten(1))
        losses["attention"] = config.attention * self.attention_apart(forward_tap, reverse_tap)
        if config.firm:
            execution, consistency = logs["clip_direction"], logs["clip_return"]
            edits, keeps = firm_weights(execution, consistency)
            weights = {"direction": edits, "similarity": edits, "reconstruction": keeps, "attention": keeps}
            losses |= {name: weight * losses[name] for name, weight in weights.items()}
            logs["firm"] = firm_reward(execution, consistency)
        if config.prior:
            losses["prior"] = config.prior * self.prior_loss(batch, draw, z, c, z_e)
        if config.base_direction:
            losses["base_direction"] = config.base_direction * self.base_direction_loss(batch, draw, z, z_e)
        return Outcome(losses, logs)

    def attention_apart(self, forward: Tap, reverse: Tap) -> Tensor:
        """L_attn, [B]. UserError: no layer is small enough to be read, and the loss is asked for."""
        config = self.config
        if forward.maps:
            return attention_loss(forward.maps, reverse.maps, config.attention_reduce, config.attention_maps)
        if config.attention:
            raise UserError(
                f"loss.attention_side is {config.attention_side}, and at this size no cross-attention map has so few "
                "positions a side: raise it, or set loss.attention to 0."
            )
        return forward.content.new_zeros(len(forward.content), dtype=torch.float32)

    def source(self, x: Tensor, c: Tensor) -> Tensor:
        """The picture as the losses compare it, from x [B, 3, H, W] and its latents c: x, or z without its noise."""
        return c * self.editor.vae.config.scaling_factor if self.latent else x

    def shown(self, z: Tensor) -> Tensor:
        """Edits z [B, C, h, w] as the losses compare them: decoded, or for encoders that read latents as they are."""
        if self.latent:
            return z.clamp(-LATENT_RANGE, LATENT_RANGE)
        return self.editor.decode(z).clamp(-1.2, 1.2)

    def judge(self, batch: Batch, draw: Draw, x: Tensor, edited: Tensor, reversed_: Tensor) -> tuple[dict, dict]:
        """The CLIP terms and the pixel term."""
        return clip_terms(self.encoders, self.config, batch, draw, x, edited, reversed_)

    def start(self, z: Tensor, seen: Tensor, t: Tensor, told: Reading, draw: Draw) -> Tensor:
        """z_t, [B, C, h, w]: the noised source, or for a share of samples the model's own way from pure noise to t.

        The noised source leaks "copy" at small t, where inference sees a half-edited picture instead: ByG's
        self-rollout (arXiv 2606.03911).
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
