"""Residual transfer: own detail where the edit left it alone, no ghost where it did not, tones with all detail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from uip2p.editing import residual
from uip2p.editing.residual import transfer
from uip2p.images import to_tensor, to_uint8
from uip2p.scenes.tones import apply_tone

SMALL = 32


@pytest.fixture
def picture() -> np.ndarray:
    """160 × 128 with detail that 32 pixels cannot hold."""
    y, x = np.mgrid[:128, :160].astype(np.float32)
    smooth = np.stack([x / 159, y / 127, 1 - y / 127], axis=-1) * 190 + 10
    return (smooth + np.random.default_rng(1).integers(0, 50, smooth.shape)).astype(np.uint8)


def shrink(picture: np.ndarray) -> torch.Tensor:
    return F.interpolate(to_tensor(picture)[None], (SMALL, SMALL), mode="area")[0]


def test_no_edit_no_change(picture):
    small = shrink(picture)
    noise = 0.03 * torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(transfer(picture, small, small), picture)
    assert np.array_equal(transfer(picture, small + noise, small), picture)  # the model's own noise


def test_detail_is_kept_exactly_outside_and_replaced_inside(picture):
    small = shrink(picture)
    edited = small.clone()
    edited[:, 8:24, 8:24] = torch.tensor([1.0, 1.0, -1.0])[:, None, None]  # something yellow, smooth, appears
    out = transfer(picture, edited, small)
    outside = np.ones((128, 160), bool)
    outside[4 * 5 : 4 * 27, 5 * 5 : 5 * 27] = False  # the edit, and three small pixels around it
    assert np.array_equal(out[outside], picture[outside])
    inside = out[48:80, 60:100].astype(int)
    assert np.abs(inside - (255, 255, 0)).max() <= 1  # no ghost of the old detail, nor of its colour


def test_pixels_stay_aligned(picture):
    """A small square appears where the small edit put it: its centre of mass agrees to a quarter of a pixel."""
    picture = np.full_like(picture, 60)
    small = shrink(picture)
    edited = small.clone()
    edited[:, 4:8, 20:28] = 1.0
    moved = np.abs(transfer(picture, edited, small).astype(float) - 60).sum(axis=-1)
    y, x = (np.average(axis, weights=moved) for axis in np.mgrid[:128, :160])
    assert abs(y - (6 * 128 / SMALL - 0.5)) < 0.25 and abs(x - (24 * 160 / SMALL - 0.5)) < 0.25


@pytest.mark.parametrize("tone", ["night", "black and white", "sepia", "warm", "bright", "dark"])
def test_tones_keep_all_detail(picture, tone):
    """The small model answers a little wrong; the large answer is exact to a few levels, where resizing loses 14."""
    expected = apply_tone(picture, tone)
    small = shrink(picture)
    noise = 0.03 * torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    error = np.abs(transfer(picture, shrink(expected) + noise, small).astype(float) - expected).mean()
    assert error < 3
    resized = F.interpolate(shrink(expected)[None], (128, 160), mode="bicubic")[0]
    assert error < 0.7 * np.abs(to_uint8(resized).astype(float) - expected).mean()


def test_a_local_edit_is_not_mistaken_for_a_tone(picture):
    small = shrink(picture)
    edited = small.clone()
    edited[:, :, :16] = -edited[:, :, :16]
    assert residual.fit_tone(edited, small) is None


def test_strips_join_without_a_seam(picture, monkeypatch):
    small = shrink(picture)
    edited = small.flip(-1)
    whole = transfer(picture, edited, small)
    monkeypatch.setattr(residual, "STRIP", 7)
    assert np.abs(transfer(picture, edited, small).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("cubic", [True, False])
def test_resize_weights_are_torchs(cubic):
    x = torch.randn(1, 1, 9, 1, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, (31, 1), mode="bilinear", antialias=False)[0, 0]
    ours = residual.resize_weights(31, 9, cubic) @ x[0, 0]
    assert torch.allclose(residual.resize_weights(31, 9, cubic).sum(1), torch.ones(31))
    if not cubic:
        assert torch.allclose(ours, expected, atol=1e-5)
    else:  # a = −1/2 gives back straight lines, away from the ends
        line = torch.arange(9.0)[:, None]
        up = residual.resize_weights(27, 9, cubic) @ line
        assert torch.allclose(up[6:-6].diff(dim=0), torch.full((14, 1), 1 / 3), atol=1e-4)
