"""The trainable editor: UNet, autoencoder, text encoders and schedule behind the few functions the method needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from uip2p.learning.diffusion import one_step_estimate
from uip2p.models import hub
from uip2p.models.attention import Tap, tappable
from uip2p.models.fast import fast
from uip2p.models.folder import load_autoencoder, load_pipeline, quiet
from uip2p.models.lora import LoraConfig, add_lora, lora_layers, merged, save_lora
from uip2p.models.parts import stock_pipeline
from uip2p.models.reading import Reading, ask, read
from uip2p.models.widen import widen_conv_in


class LatentEditor(nn.Module):
    """Pictures are float [B, 3, H, W] in [-1, 1]; latents [B, C, h, w].

    The autoencoder is always frozen. `train_text` leaves the text encoder trainable, for small models whose text
    encoder has not read the web. text_encoder_2, tokenizer_2, zero_null: SDXL's, see `reading.Reader`.
    tiny: a small decoder (an AutoencoderTiny) that `decode` takes in the autoencoder's place. lora: what is trained in
    the place of the whole UNet. frozen: in what the weights that do not learn are kept; base and vae_name: where they
    come from, so that `save` can write them as they were.
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
        lora: LoraConfig | None = None,
        base: str = "",
        vae_name: str = "",
        frozen: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.unet = tappable(unet.train().requires_grad_(True))
        if lora is not None and lora.rank:
            with quiet():
                add_lora(self.unet.to(frozen), lora)
        self.base, self.vae_name, self.frozen = base, vae_name, frozen
        self.vae = vae.eval().requires_grad_(False)
        self.text_encoder = text_encoder.requires_grad_(train_text)
        self.text_encoder_2 = None if text_encoder_2 is None else text_encoder_2.requires_grad_(False)
        self.tiny = None if tiny is None else tiny.eval().requires_grad_(False)
        self.tokenizer, self.tokenizer_2, self.scheduler = tokenizer, tokenizer_2, scheduler
        self.zero_null = zero_null
        self.prediction_type: str = scheduler.config.prediction_type
        self.register_buffer("alpha_bar", scheduler.alphas_cumprod.float().clone(), persistent=False)
        fast(self)

    @property
    def device(self) -> torch.device:
        return self.alpha_bar.device

    @property
    def factor(self) -> int:
        """Pixels along a latent's side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def networks(self) -> list[nn.Module]:
        """What has weights that learn; each is called as a whole."""
        learns = any(parameter.requires_grad for parameter in self.text_encoder.parameters())
        return [self.unet, *([self.text_encoder] if learns else [])]

    def enable_checkpointing(self) -> None:
        """Keep the activations of whole blocks only, and compute the rest again in backward."""
        self.unet.enable_gradient_checkpointing()
        decoder = self.vae if self.tiny is None else self.tiny
        decoder.enable_gradient_checkpointing()
        decoder.train()  # diffusers checkpoints in training mode only; neither has dropout or batch statistics

    def compile_parts(self, mode: str = "default") -> None:
        """torch.compile of the UNet, in place: the names of the weights stay as they are. Not of the decoder, though it
        takes as long: inductor gave its input a gradient of zero (torch 2.13, CPU), of which no loss would tell.
        mode: torch's; "reduce-overhead" records CUDA graphs."""
        self.unet.compile(mode=mode)

    @torch.no_grad()
    def encode(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(z, c): z = s · E(x), sampled with `noise` if given, for the diffusion; c = the mode, not scaled by s, which
        is what InstructPix2Pix gives the UNet beside it."""
        mean, std = self.posterior(x)
        z = mean if noise is None else mean + std * noise
        return z * self.vae.config.scaling_factor, mean

    @torch.no_grad()
    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of E(x), not scaled, fp32 [B, C, h, w] each."""
        posterior = self.vae.encode(x.to(self.vae.dtype)).latent_dist
        return posterior.mean.float(), posterior.std.float()

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
        inputs = inputs.contiguous(memory_format=torch.channels_last)  # weights in FSDP2's shards cannot be
        return ask(self.unet, inputs, t, told, self.factor, tap)

    def estimate(self, noisy: Tensor, image: Tensor | None, t: Tensor, told: Reading, tap: Tap | None = None) -> Tensor:
        """The one-step estimate of the clean latent."""
        prediction = self.predict(noisy, image, t, told, tap)
        return one_step_estimate(noisy, prediction, self.alpha_bar, t, self.prediction_type)

    def save(self, folder: Path) -> None:
        """A folder that stock `StableDiffusionInstructPix2PixPipeline.from_pretrained` (or SDXL's) loads; a LoRA is
        merged in it, and lies beside as a file for stock `load_lora_weights`."""
        whole = self if self.frozen == torch.float32 else self._unrounded()
        with quiet():
            pipeline = stock_pipeline(whole)
            if lora_layers(self.unet):
                pipeline.unet = merged(self.unet, None if whole is self else widen_conv_in(whole.unet))
                save_lora(self.unet, folder, {"base": hub.public_name(self.base)})
            elif whole is not self:
                pipeline.unet = self.unet
            pipeline.save_pretrained(folder, safe_serialization=True)

    def _unrounded(self) -> Any:
        """The base again: what did not learn was rounded to half precision for the training, and not for good."""
        parts = load_pipeline(self.base)
        return replace(parts, vae=load_autoencoder(self.vae_name)) if self.vae_name else parts
