"""The trainable editor: UNet, autoencoder, text encoder and schedule behind the few functions the method needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, SchedulerMixin, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from uip2p.learning.diffusion import one_step_estimate
from uip2p.models.attention import content_mask


class LatentEditor(nn.Module):
    """Pictures are float [B, 3, H, W] in [-1, 1]; latents [B, C, h, w]; text states [B, T, W].

    The autoencoder is always frozen. `train_text` leaves the text encoder trainable, for small models whose text
    encoder has not read the web.
    """

    alpha_bar: Tensor

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        scheduler: SchedulerMixin,
        train_text: bool = False,
    ):
        super().__init__()
        self.unet = unet.train().requires_grad_(True)
        self.vae = vae.eval().requires_grad_(False)
        self.text_encoder = text_encoder.requires_grad_(train_text)
        self.tokenizer, self.scheduler = tokenizer, scheduler
        self.prediction_type: str = scheduler.config.prediction_type
        self.register_buffer("alpha_bar", scheduler.alphas_cumprod.float().clone(), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.alpha_bar.device

    @torch.no_grad()
    def encode(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(z, c): z = s · E(x), sampled with `noise` if given, for the diffusion; c = the mode, not scaled by s, which
        is what InstructPix2Pix gives the UNet beside it."""
        posterior = self.vae.encode(x).latent_dist
        z = posterior.mean if noise is None else posterior.mean + posterior.std * noise
        return z * self.vae.config.scaling_factor, posterior.mean

    def decode(self, z: Tensor) -> Tensor:
        """D(z / s), not clamped. Differentiable."""
        return self.vae.decode(z / self.vae.config.scaling_factor).sample

    def condition(self, z: Tensor) -> Tensor:
        """The image latent that stands for an edited latent z: z / s."""
        return z / self.vae.config.scaling_factor

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Texts → int64 [B, T], cut and padded to the longest text that the encoder reads, as diffusers does."""
        limit = self.tokenizer.model_max_length
        return self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
        ).input_ids.to(self.device)

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts → (states [B, T, W], content bool [B, T]: neither start, end nor padding). Padded as diffusers does."""
        ids = self.tokens(texts)
        special = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return self.text_encoder(ids)[0], content_mask(ids, special)

    def predict(self, noisy: Tensor, image: Tensor | None, t: Tensor, states: Tensor) -> Tensor:
        """U([z_t, c], t, F): ε̂ or v̂. image None is a text-to-image UNet, without the second half of the input."""
        inputs = noisy if image is None else torch.cat([noisy, image], dim=1)
        return self.unet(inputs, t, encoder_hidden_states=states).sample

    def estimate(self, noisy: Tensor, image: Tensor | None, t: Tensor, states: Tensor) -> Tensor:
        """The one-step estimate of the clean latent."""
        prediction = self.predict(noisy, image, t, states)
        return one_step_estimate(noisy, prediction, self.alpha_bar, t, self.prediction_type)

    def save(self, folder: Path) -> None:
        """A folder that stock `StableDiffusionInstructPix2PixPipeline.from_pretrained` loads."""
        StableDiffusionInstructPix2PixPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder, safe_serialization=True)
