"""Noising and one-step estimates, against diffusers' own scheduler where it has the same formula."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from uip2p.learning.diffusion import (
    add_noise,
    implied_noise,
    move_to,
    one_step_estimate,
    rollout_times,
    training_target,
)
from uip2p.models.miniature import build_scheduler

ALPHA_BAR = build_scheduler().alphas_cumprod.float()


def draws(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    z, noise = torch.randn(6, 4, 8, 8, generator=generator), torch.randn(6, 4, 8, 8, generator=generator)
    return z, noise, torch.tensor([0, 1, 250, 500, 750, 999])


def test_the_schedule_is_stable_diffusions():
    expected = {250: 1.2, 500: 1.9, 750: 4.2, 900: 8.4, 999: 14.6}
    for t, factor in expected.items():
        assert ALPHA_BAR[t].rsqrt().item() == pytest.approx(factor, abs=0.06)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_right_prediction_gives_back_the_clean_latent(kind):
    z, noise, t = draws()
    noisy = add_noise(z, noise, ALPHA_BAR, t)
    target = training_target(z, noise, ALPHA_BAR, t, kind)
    assert torch.allclose(one_step_estimate(noisy, target, ALPHA_BAR, t, kind), z, atol=1e-4)
    assert torch.allclose(implied_noise(noisy, z, ALPHA_BAR, t)[2:], noise[2:], atol=1e-4)


def test_noise_and_velocity_are_diffusers_own():
    z, noise, t = draws()
    stock = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    assert torch.allclose(add_noise(z, noise, ALPHA_BAR, t), stock.add_noise(z, noise, t), atol=1e-6)
    assert torch.allclose(
        training_target(z, noise, ALPHA_BAR, t, "v_prediction"), stock.get_velocity(z, noise, t), atol=1e-6
    )


def test_errors_grow_at_late_timesteps_for_epsilon_but_not_for_velocity():
    z, noise, _ = draws()
    t = torch.full((6,), 999)
    noisy = add_noise(z, noise, ALPHA_BAR, t)
    off = {}
    for kind in ("epsilon", "v_prediction"):
        wrong = training_target(z, noise, ALPHA_BAR, t, kind) + 0.01
        off[kind] = (one_step_estimate(noisy, wrong, ALPHA_BAR, t, kind) - z).abs().mean().item()
    assert off["epsilon"] == pytest.approx(0.146, abs=0.003) and off["v_prediction"] < 0.011


def test_a_move_is_a_ddim_step():
    z, prediction, _ = draws()
    stock = DDIMScheduler.from_config(build_scheduler().config)
    stock.set_timesteps(10)
    t, s = int(stock.timesteps[3]), int(stock.timesteps[3]) - 100
    expected = stock.step(prediction, t, z).prev_sample
    at = torch.full((6,), t)
    clean = one_step_estimate(z, prediction, ALPHA_BAR, at, "v_prediction")
    assert torch.allclose(move_to(z, clean, ALPHA_BAR, at, torch.full((6,), s)), expected, atol=1e-5)


def test_rollouts_start_at_pure_noise_and_end_at_their_own_timestep():
    t = torch.tensor([0, 400, 999])
    times = rollout_times(t, 3, 999)
    assert len(times) == 4 and (times[0] == 999).all() and (times[-1] == t).all()
    assert all((a >= b).all() for a, b in pairwise(times))
