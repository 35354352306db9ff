"""What of the cycle can be chosen. Each field that the paper does not have is off and says where to read of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from uip2p.learning.augment import AugmentConfig


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
    firm: bool = False  # the losses weigh by sample what FIRM's reward makes of them: see `losses.firm_weights`
    augment: AugmentConfig = field(default_factory=AugmentConfig)
