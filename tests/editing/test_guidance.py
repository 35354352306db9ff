"""Equation 3 of InstructPix2Pix, and the evaluations it does not need."""

from __future__ import annotations

import pytest
import torch

from uip2p.editing.guidance import BOTH, IMAGE_ONLY, NEITHER, conditions, guide


@pytest.fixture
def predictions() -> torch.Tensor:
    return torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("s_t, s_i", [(7.5, 1.5), (2.0, 1.0), (3.0, 4.0)])
def test_equation_3(predictions, s_t, s_i):
    both, image, neither = predictions
    expected = neither + s_i * (image - neither) + s_t * (both - image)
    assert torch.allclose(guide(predictions, s_t, s_i), expected)


def test_what_is_skipped_does_not_matter(predictions):
    for scales in ((4.0, 1.0), (1.0, 1.0), (4.0, 1.7)):
        needed = len(conditions(*scales))
        assert torch.allclose(guide(predictions[:needed], *scales), guide(predictions, *scales))


def test_only_what_is_needed_is_evaluated():
    assert conditions(1.0, 1.0) == (BOTH,)
    assert conditions(2.0, 1.0) == (BOTH, IMAGE_ONLY)
    assert conditions(2.0, 1.5) == (BOTH, IMAGE_ONLY, NEITHER)
    assert conditions(1.0, 1.5) == conditions(7.5, 0.9) == (BOTH,)  # off, as in diffusers' pipeline


def test_samples_do_not_mix(predictions):
    alone = guide(predictions[:, 1:], 5.0, 1.5)
    assert torch.equal(guide(predictions, 5.0, 1.5)[1:], alone)
