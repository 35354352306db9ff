"""The four losses against values worked out by hand from the paper's equations."""

import math

import pytest
import torch
import torch.nn.functional as F

from uip2p.learning.losses import (
    attention_loss,
    direction_loss,
    firm_reward,
    firm_weights,
    reconstruction_loss,
    root_mean_square,
    similarity_loss,
)


def unit(*values: float) -> torch.Tensor:
    return F.normalize(torch.tensor([values], dtype=torch.float32), dim=-1)


def test_direction_is_one_minus_the_cosine_of_the_two_moves():
    source, text = unit(1, 0, 0), unit(0, 0, 1)
    move = torch.tensor([[0.3, -0.2, 0.1]])
    assert direction_loss(source + move, source, text + 5 * move, text).item() == pytest.approx(0, abs=1e-5)
    assert direction_loss(source + move, source, text - move, text).item() == pytest.approx(2, abs=1e-5)
    across = torch.tensor([[0.2, 0.3, 0.0]])
    assert direction_loss(source + move, source, text + across, text).item() == pytest.approx(1, abs=1e-5)


def test_direction_of_a_copy_is_defined_and_has_a_finite_gradient():
    source = unit(1, 2, 3)
    edited = source.clone().requires_grad_()
    loss = direction_loss(edited, source, unit(0, 1, 0), unit(1, 0, 0))
    loss.sum().backward()
    assert loss.item() == pytest.approx(1) and torch.isfinite(edited.grad).all()


def test_similarity():
    assert similarity_loss(unit(3, 4), unit(3, 4)).item() == pytest.approx(0, abs=1e-6)
    assert similarity_loss(unit(1, 0), unit(1, 1)).item() == pytest.approx(1 - math.sqrt(0.5), abs=1e-6)


def test_attention_sums_or_averages_the_layers():
    a, b = (
        [torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 0.0]])],
        [torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 0.0]])],
    )
    assert attention_loss(a, b).item() == pytest.approx(1, abs=1e-3)
    assert attention_loss(a, b, "mean").item() == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(ValueError):
        attention_loss(a, b[:1])


def test_reconstruction_has_a_pixel_and_a_clip_term():
    x = torch.zeros(1, 3, 4, 4)
    there, away = unit(1, 0), unit(0, 1)
    assert reconstruction_loss(x, x, there, there).item() == pytest.approx(0, abs=1e-3)
    assert reconstruction_loss(x, x + 0.5, there, there).item() == pytest.approx(0.5, abs=1e-3)
    assert reconstruction_loss(x, x + 0.5, there, away, pixel_weight=3).item() == pytest.approx(1.5 + 1, abs=1e-3)


def test_every_loss_is_per_sample():
    generator = torch.Generator().manual_seed(0)
    e = [F.normalize(torch.randn(4, 8, generator=generator), dim=-1) for _ in range(4)]
    x = [torch.rand(4, 3, 8, 8, generator=generator) for _ in range(2)]
    maps = [torch.rand(4, 16, generator=generator) for _ in range(2)]
    whole = [
        direction_loss(*e),
        similarity_loss(*e[:2]),
        attention_loss(maps[:1], maps[1:]),
        reconstruction_loss(*x, *e[:2]),
    ]
    for i in range(4):
        one = [v[i : i + 1] for v in e]
        alone = [
            direction_loss(*one),
            similarity_loss(*one[:2]),
            attention_loss([maps[0][i : i + 1]], [maps[1][i : i + 1]]),
            reconstruction_loss(x[0][i : i + 1], x[1][i : i + 1], *one[:2]),
        ]
        for loss, single in zip(whole, alone, strict=True):
            assert loss.shape == (4,) and torch.allclose(loss[i], single[0], atol=1e-6)


def test_norm_does_not_grow_with_resolution_and_is_smooth_at_zero():
    assert root_mean_square(torch.ones(1, 9)).item() == pytest.approx(root_mean_square(torch.ones(1, 900)).item())
    zero = torch.zeros(1, 5, requires_grad=True)
    root_mean_square(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_firm_pays_for_keeping_only_what_was_edited():
    execution, consistency = torch.tensor([0.0, 0.5, 1.0, 1.0]), torch.tensor([1.0, 0.5, 0.0, 1.0])
    assert firm_reward(execution, consistency).tolist() == pytest.approx([0, 0.4, 0.6, 1])  # a copy: nothing
    edits, keeps = firm_weights(execution, consistency)
    assert edits.tolist() == pytest.approx([1.25, 1, 0.75, 1.25]) and keeps.tolist() == pytest.approx([0, 1, 2, 2])


def test_firm_weights_are_the_rewards_gradient_with_mean_one():
    grid = (torch.arange(50) + 0.5) / 50
    execution, consistency = (v.flatten().requires_grad_() for v in torch.meshgrid(grid, grid, indexing="ij"))
    edits, keeps = firm_weights(execution, consistency)
    assert not edits.requires_grad and not keeps.requires_grad
    assert edits.mean().item() == pytest.approx(1, abs=1e-5) and keeps.mean().item() == pytest.approx(1, abs=1e-5)
    firm_reward(execution, consistency).sum().backward()
    assert torch.allclose(edits, execution.grad / execution.grad.mean(), atol=1e-5)
    assert torch.allclose(keeps, consistency.grad / consistency.grad.mean(), atol=1e-5)


def test_firm_weights_are_bounded_whatever_the_cosines():
    edits, keeps = firm_weights(torch.tensor([-0.7, 1.2]), torch.tensor([-0.2, 1.1]))
    assert edits.tolist() == pytest.approx([0.75, 1.25]) and keeps.tolist() == pytest.approx([0, 2])
    assert firm_reward(torch.tensor([-0.7]), torch.tensor([1.0])).item() == 0
