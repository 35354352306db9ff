"""The cycle's step as others would write it, from diffusers' and transformers' classes, never tuned down.

plain: as a training script has it. tuned: what a careful user makes of it. Both give the four losses of the paper for
the same draws as `CycleObjective`, to 1e-4."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from models import Models, pixels
from torch import Tensor

from uip2p.learning.randomness import Draw


class ExplicitMaps(AttnProcessor):
    """Cross-attention by explicit matrices, keeping the probabilities of every head, as attention-map code does.

    max_positions: a layer with more is fused, and keeps nothing."""

    def __init__(self, kept: list[tuple[Tensor, int]], max_positions: int | None = None):
        super().__init__()
        self.kept, self.max_positions = kept, max_positions
        self.fused = AttnProcessor2_0()

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        if self.max_positions is not None and hidden_states.shape[1] > self.max_positions:
            return self.fused(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key)
        self.kept.append((probabilities, attn.heads))
        out = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](out))


def maps_of(kept: list[tuple[Tensor, int]], content: Tensor, max_positions: int = 16**2) -> list[Tensor]:
    """Mean over heads, sum over content tokens, mean one: of the layers that the loss compares."""
    found = []
    for probabilities, heads in kept:
        if probabilities.shape[1] <= max_positions:
            mean = probabilities.float().unflatten(0, (-1, heads)).mean(1)
            attended = (mean * content[:, None, :]).sum(-1) + 1e-6
            found.append(attended / attended.mean(-1, keepdim=True))
    return found


def rms(x: Tensor) -> Tensor:
    return x.flatten(1).square().mean(-1).add(1e-8).sqrt()


class Peer:
    """cache: `models.cached`'s, read by `tuned` alone."""

    def __init__(self, models: Models, cache: dict[str, Any], tuned: bool):
        self.m, self.cache, self.tuned = models, cache, tuned

    @contextmanager
    def attention(self, kept: list[tuple[Tensor, int]]) -> Iterator[None]:
        unet = self.m.editor.unet
        before = unet.attn_processors
        limit = 16**2 if self.tuned else None
        explicit, other = ExplicitMaps(kept, limit), AttnProcessor2_0() if self.tuned else AttnProcessor()
        unet.set_attn_processor({name: explicit if ".attn2." in name else other for name in before})
        try:
            yield
        finally:
            unet.set_attn_processor(before)

    def losses(self, rows: list[dict], draw: Draw) -> dict[str, Tensor]:
        m, editor, clip, known = self.m, self.m.editor, self.m.clip, self.cache
        scale, alpha, device = editor.vae.config.scaling_factor, editor.alpha_bar, editor.device
        x = pixels(rows, device)
        shape = (editor.vae.config.latent_channels, m.size // editor.factor, m.size // editor.factor)
        posterior_noise, eps1, eps2 = (draw.normal(name, shape) for name in ("posterior", "ε₁", "ε₂"))
        t, s = (draw.integers(name, 1000).to(device) for name in ("t", "t'"))
        with torch.no_grad():
            if self.tuned:
                mean, std, forward, reverse = (known[key] for key in ("mean", "std", "forward", "reverse"))
            else:
                mean, std = editor.posterior(x)
                keys = ("instruction", "reverse_instruction")
                forward, reverse = (editor.read([row[key] for row in rows]) for key in keys)
        z, c = (mean + std * posterior_noise) * scale, mean
        a, b = alpha[t].view(-1, 1, 1, 1), alpha[s].view(-1, 1, 1, 1)

        def estimate(noisy: Tensor, image: Tensor, at: Tensor, told: Any, alpha_t: Tensor, kept: list) -> Tensor:
            with self.attention(kept):
                inputs = torch.cat([noisy, image], 1)
                prediction = editor.unet(inputs, at, encoder_hidden_states=told.states).sample.float()
            signal, noise = alpha_t.sqrt(), (1 - alpha_t).sqrt()
            if editor.prediction_type == "epsilon":
                return (noisy - noise * prediction) / signal
            return signal * noisy - noise * prediction

        kept_f: list = []
        kept_r: list = []
        z_e = estimate(a.sqrt() * z + (1 - a).sqrt() * eps1, c, t, forward, a, kept_f)
        z_r = estimate(b.sqrt() * z_e + (1 - b).sqrt() * eps2, z_e / scale, s, reverse, b, kept_r)
        edited, back = (editor.vae.decode(latent / scale).sample.float().clamp(-1.2, 1.2) for latent in (z_e, z_r))
        with torch.no_grad():
            if self.tuned:
                e_x, t_x, t_e = (known[key] for key in ("image", "caption", "edited"))
            else:
                e_x = clip.embed_images(x)
                t_x, t_e = (clip.embed_texts([row[key] for row in rows]) for key in ("caption", "edited_caption"))
        if self.tuned:
            e_e, e_r = clip.embed_images(torch.cat([edited, back])).chunk(2)
        else:
            e_e, e_r = clip.embed_images(edited), clip.embed_images(back)
        maps = maps_of(kept_f, forward.content), maps_of(kept_r, reverse.content)
        apart = [rms(f - r) for f, r in zip(*maps, strict=True)]
        return {
            "direction": 1 - F.cosine_similarity(e_e - e_x, t_e - t_x, dim=-1, eps=1e-3),
            "similarity": 1 - F.cosine_similarity(e_e, t_e, dim=-1),
            "attention": 0.5 * torch.stack(apart).sum(0),
            "reconstruction": rms(x - back) + 1 - F.cosine_similarity(e_r, e_x, dim=-1),
        }
