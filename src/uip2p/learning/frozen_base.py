"""The base as it was before the cycle, and what it has to say of an edit. It reads captions, never instructions."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from uip2p.learning.diffusion import add_noise, one_step_estimate
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.reading import ask, read


class FrozenBase(nn.Module):
    """A copy of an editor's UNet and text encoders, taken before training. The editor lends the rest at each call."""

    def __init__(self, editor: LatentEditor):
        super().__init__()
        self.unet = copy.deepcopy(editor.unet).requires_grad_(False)
        self.text_encoder = copy.deepcopy(editor.text_encoder).requires_grad_(False)
        self.text_encoder_2 = copy.deepcopy(editor.text_encoder_2)
        self.tokenizer, self.tokenizer_2, self.zero_null = editor.tokenizer, editor.tokenizer_2, editor.zero_null

    @property
    def device(self) -> torch.device:
        return self.unet.conv_in.weight.device

    @torch.no_grad()
    def estimate(self, editor: LatentEditor, noisy: Tensor, t: Tensor, captions: list[str], guidance: float) -> Tensor:
        """x̂0 of noisy [B, C, h, w] at t, int64 [B], from B captions alone: the half of the input for a picture is
        zero. guidance: the scale against the null text; 1 costs one evaluation, others two."""
        inputs = torch.cat([noisy, torch.zeros_like(noisy)], dim=1)

        def say(words: list[str]) -> Tensor:
            return ask(self.unet, inputs, t, read(self, words), editor.factor)

        prediction = say(captions)
        if guidance != 1:
            null = say([""] * len(captions))
            prediction = null + guidance * (prediction - null)
        return one_step_estimate(noisy, prediction, editor.alpha_bar, t, editor.prediction_type)

    def direction_loss(
        self,
        editor: LatentEditor,
        z: Tensor,
        z_e: Tensor,
        captions: list[str],
        edited_captions: list[str],
        t: Tensor,
        noise: Tensor,
        guidance: float,
    ) -> Tensor:
        """Does it find z_e as likely under T_ed as it finds z under T_in? [B] ≥ 0.

        z, z_e, noise [B, C, h, w]; t int64 [B].

        r = (z_e − x̂0(z_e + noise, T_ed)) − (z − x̂0(z + noise, T_in)), same noise and timestep: what the base would
        change in the edited picture beyond what it would change in the source, so that its own faults cancel (delta
        denoising; the directional prior of ByG). The loss is ½‖z_e − sg(z_e − r)‖², whose gradient to z_e is r.
        """
        with torch.no_grad():
            both, twice = torch.cat([z, z_e]), torch.cat([t, t])
            noisy = add_noise(both, torch.cat([noise, noise]), editor.alpha_bar, twice)
            clean = self.estimate(editor, noisy, twice, captions + edited_captions, guidance)
            source, edited = (both - clean).chunk(2)
            wanted = z_e - (edited - source)
        return 0.5 * (z_e - wanted).square().flatten(1).mean(1)
