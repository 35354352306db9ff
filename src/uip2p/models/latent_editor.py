"""The trainable editor: UNet, autoencoder, text encoders and schedule behind the few functions the method needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from uip2p.learning.diffusion import one_step_estimate
from uip2p.models.attention import Tap, tappable
from uip2p.models.reading import Reading, ask, read


class LatentEditor(nn.Module):
    """Pictures are float [B, 3, H, W] in [-1, 1]; latents [B, C, h, w].

    The autoencoder is always frozen. `train_text` leaves the text encoder trainable, for small models whose text
    encoder has not read the web. text_encoder_2, tokenizer_2, zero_null: SDXL's, see `reading.Reader`.
    tiny: a small decoder (an AutoencoderTiny) that `decode` takes in the autoencoder's place.
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
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: CLIPTokenizer | None = None,
        zero_null: bool = False,
        tiny: Any = None,
    ):
        super().__init__()
        self.unet = tappable(unet.train().requires_grad_(True))
        self.vae = vae.eval().requires_grad_(False)
        self.text_encoder = text_encoder.requires_grad_(train_text)
        self.text_encoder_2 = None if text_encoder_2 is None else text_encoder_2.requires_grad_(False)
        self.tiny = None if tiny is None else tiny.eval().requires_grad_(False)
        self.tokenizer, self.tokenizer_2, self.scheduler = tokenizer, tokenizer_2, scheduler
        self.zero_null = zero_null
        self.prediction_type: str = scheduler.config.prediction_type
        self.register_buffer("alpha_bar", scheduler.alphas_cumprod.float().clone(), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.alpha_bar.device

    @property
    def factor(self) -> int:
        """Pixels along a latent's side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(z, c): z = s · E(x), sampled with `noise` if given, for the diffusion; c = the mode, not scaled by s, which
        is what InstructPix2Pix gives the UNet beside it."""
        posterior = self.vae.encode(x.to(self.vae.dtype)).latent_dist
        mean, std = posterior.mean.float(), posterior.std.float()
        z = mean if noise is None else mean + std * noise
        return z * self.vae.config.scaling_factor, mean

    def decode(self, z: Tensor) -> Tensor:
        """D(z / s), not clamped, fp32. Differentiable."""
        if self.tiny is not None:
            return self.tiny.decode(z.to(self.tiny.dtype)).sample.float()
        return self.vae.decode((z / self.vae.config.scaling_factor).to(self.vae.dtype)).sample.float()

    def condition(self, z: Tensor) -> Tensor:
        """The image latent that stands for an edited latent z: z / s."""
        return z / self.vae.config.scaling_factor

    def read(self, texts: Sequence[str]) -> Reading:
        """B texts → what the UNet reads."""
        return read(self, texts)

    def predict(self, noisy: Tensor, image: Tensor | None, t: Tensor, told: Reading, tap: Tap | None = None) -> Tensor:
        """U([z_t, c], t, F): ε̂ or v̂. image None is a text-to-image UNet, without the second half of the input."""
        inputs = noisy if image is None else torch.cat([noisy, image], dim=1)
        return ask(self.unet, inputs, t, told, self.factor, tap)

    def estimate(self, noisy: Tensor, image: Tensor | None, t: Tensor, told: Reading, tap: Tap | None = None) -> Tensor:
        """The one-step estimate of the clean latent."""
        prediction = self.predict(noisy, image, t, told, tap)
        return one_step_estimate(noisy, prediction, self.alpha_bar, t, self.prediction_type)

    def save(self, folder: Path) -> None:
        """A folder that stock `StableDiffusionInstructPix2PixPipeline.from_pretrained` (or SDXL's) loads."""
        parts: dict[str, Any] = {
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
            "unet": self.unet,
            "scheduler": self.scheduler,
        }
        if self.text_encoder_2 is None:
            more: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
            pipeline: Any = diffusers.StableDiffusionInstructPix2PixPipeline
        else:
            more = {"text_encoder_2": self.text_encoder_2, "tokenizer_2": self.tokenizer_2}
            more["force_zeros_for_empty_prompt"] = self.zero_null
            pipeline = diffusers.StableDiffusionXLInstructPix2PixPipeline
        pipeline(**parts, **more).save_pretrained(folder, safe_serialization=True)
