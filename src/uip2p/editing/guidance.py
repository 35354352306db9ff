"""Classifier-free guidance with two conditions: equation 3 of InstructPix2Pix (arXiv 2211.09800)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Condition:
    """What one evaluation of the UNet gets to see; the null text or a zero image latent stands for the rest."""

    text: bool
    image: bool


BOTH, IMAGE_ONLY, NEITHER = Condition(True, True), Condition(False, True), Condition(False, False)


def conditions(guidance_scale: float, image_guidance_scale: float) -> tuple[Condition, ...]:
    """The evaluations that equation 3 needs at these scales, in the order that `guide` expects them.

    s_I = 1 cancels e(∅, ∅). And as in diffusers' own pipeline, guidance is off altogether, one evaluation e(I, T),
    unless s_T > 1 and s_I ≥ 1.
    """
    if guidance_scale <= 1 or image_guidance_scale < 1:
        return (BOTH,)
    return (BOTH, IMAGE_ONLY) if image_guidance_scale == 1 else (BOTH, IMAGE_ONLY, NEITHER)


def guide(predictions: Tensor, guidance_scale: float, image_guidance_scale: float) -> Tensor:
    """predictions [K, B, ...], one for each of `conditions(…)` -> the guided prediction [B, ...].

    ẽ = e(∅, ∅) + s_I · (e(I, ∅) − e(∅, ∅)) + s_T · (e(I, T) − e(I, ∅))                                (eq. 3)
    """
    if len(predictions) == 1:
        return predictions[0]
    both, image = predictions[0], predictions[1]
    neither = predictions[2] if len(predictions) == 3 else image
    return neither + guidance_scale * (both - image) + image_guidance_scale * (image - neither)
