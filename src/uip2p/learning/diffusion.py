"""The mathematics of noising and of the one-step estimate, for both prediction types. Pure, fp32.

ᾱ [T] is the scheduler's cumulative product, t int64 [B] in 0..T−1, latents [B, C, h, w].
"""

from __future__ import annotations

from torch import Tensor


def coefficients(alpha_bar: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """(√ᾱ_t, √(1−ᾱ_t)), each [B, 1, 1, 1]."""
    a = alpha_bar.to(t.device)[t].float().view(-1, 1, 1, 1)
    return a.sqrt(), (1 - a).sqrt()


def add_noise(clean: Tensor, noise: Tensor, alpha_bar: Tensor, t: Tensor) -> Tensor:
    """z_t = √ᾱ_t z + √(1−ᾱ_t) ε."""
    signal, sigma = coefficients(alpha_bar, t)
    return signal * clean + sigma * noise


def training_target(clean: Tensor, noise: Tensor, alpha_bar: Tensor, t: Tensor, prediction_type: str) -> Tensor:
    """What the UNet should say: ε, or v = √ᾱ_t ε − √(1−ᾱ_t) z."""
    if prediction_type == "epsilon":
        return noise
    signal, sigma = coefficients(alpha_bar, t)
    return signal * noise - sigma * clean


def one_step_estimate(noisy: Tensor, prediction: Tensor, alpha_bar: Tensor, t: Tensor, prediction_type: str) -> Tensor:
    """x0: (z_t − √(1−ᾱ_t) ε̂) / √ᾱ_t for ε; √ᾱ_t z_t − √(1−ᾱ_t) v̂ for v. fp32, as ε divides by as little as 0.07."""
    signal, sigma = coefficients(alpha_bar, t)
    noisy, prediction = noisy.float(), prediction.float()
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / signal
    return signal * noisy - sigma * prediction


def implied_noise(noisy: Tensor, clean: Tensor, alpha_bar: Tensor, t: Tensor) -> Tensor:
    """The ε that makes `noisy` out of `clean` at t."""
    signal, sigma = coefficients(alpha_bar, t)
    return (noisy - signal * clean) / sigma


def rollout_times(t: Tensor, steps: int, last: int) -> list[Tensor]:
    """`steps` + 1 descending timesteps a sample, from `last` (pure noise) to its own t: int64 [B] each."""
    return [(last + (t - last) * k / steps).round().long() for k in range(steps + 1)]


def move_to(noisy: Tensor, clean: Tensor, alpha_bar: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """One deterministic (DDIM) step from t to s, given the estimate of the clean latent at t."""
    return add_noise(clean, implied_noise(noisy, clean, alpha_bar, t), alpha_bar, s)
