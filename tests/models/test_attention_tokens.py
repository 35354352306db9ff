"""The weight of each token by itself: what `content_map` is made of, layer by layer and on one grid."""

import pytest
import torch

from uip2p.models.attention import Tap, TokenTap, is_tappable, layer_grid, on_one_grid, tappable
from uip2p.models.miniature import UnetConfig, build_unet

CONTENT = torch.tensor([[False, True, True, False, False, False], [False, True, True, True, True, False]])
LATENT = (8, 16)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    config = UnetConfig(widths=(16, 32), attention=(True, True), heads=2, norm_groups=8)
    return tappable(build_unet(config, latent_channels=4, latent_size=8, text_width=16).eval())


@torch.no_grad()
def read(unet, tap, rows=slice(None)):
    generator = torch.Generator().manual_seed(1)
    z, states = torch.randn(2, 4, *LATENT, generator=generator), torch.randn(2, 6, 16, generator=generator)
    unet(z[rows], torch.tensor([10, 700])[rows], states[rows], cross_attention_kwargs={"tap": tap})
    return tap.maps


def test_the_weights_of_all_tokens_sum_to_1(unet):
    layers = read(unet, TokenTap(CONTENT))
    assert [tuple(layer.shape) for layer in layers] == [(2, n, 6) for n in (128, 32, 32, 32, 32, 128, 128)]
    grid = on_one_grid(layers, LATENT)
    assert grid.shape == (2, 6, 8, 16) and grid.min() >= 0
    assert torch.allclose(grid.sum(dim=1), torch.ones(2, 8, 16), atol=1e-5)
    assert grid.std(dim=(2, 3)).min() > 0, "no token is looked at alike everywhere"


def test_content_words_together_are_the_content_map(unet):
    """As training sees it, before it is divided by its mean."""
    for weights, expected in zip(read(unet, TokenTap(CONTENT)), read(unet, Tap(CONTENT)), strict=True):
        attended = (weights * CONTENT[:, None, :]).sum(dim=-1) + 1e-6
        assert torch.allclose(attended / attended.mean(dim=-1, keepdim=True), expected, atol=1e-5)


def test_only_the_first_entries_of_a_batch_are_read_and_each_by_itself(unet):
    both, first = read(unet, TokenTap(CONTENT)), read(unet, TokenTap(CONTENT[:1]))
    alone = read(unet, TokenTap(CONTENT[1:]), slice(1, 2))
    for two, one, other in zip(both, first, alone, strict=True):
        assert torch.allclose(two[:1], one, atol=1e-6) and torch.allclose(two[1:], other, atol=1e-5)


def test_rows_stay_rows_and_layers_count_alike():
    rows = (torch.arange(4.0)[:, None] + torch.zeros(4, 8)).flatten()[None, :, None]  # looked at more further down
    coarse = torch.tensor([0.0, 0.0, 0.0, 0.0, 6.0, 6.0, 6.0, 6.0])[None, :, None]  # 2 × 4
    grid = on_one_grid([rows, rows, coarse], LATENT)[0, 0]
    assert grid.shape == (4, 8) and torch.equal(grid[:, :1].expand(4, 8), grid)
    assert torch.allclose(grid[:, 0], (2 * torch.arange(4.0) + torch.tensor([0, 1.5, 4.5, 6])) / 3)


@pytest.mark.parametrize("positions, grid", [(128, (8, 16)), (32, (4, 8)), (8, (2, 4))])
def test_a_layer_has_the_proportions_of_the_latents(positions, grid):
    assert layer_grid(positions, LATENT) == grid


def test_positions_that_are_no_picture_are_refused():
    with pytest.raises(ValueError, match="77 positions are no 8×16 latents"):
        layer_grid(77, LATENT)


def test_attention_slicing_hides_the_maps(unet):
    assert is_tappable(unet) and not is_tappable(object())
    unet.set_attention_slice(1)
    assert not is_tappable(unet) and is_tappable(tappable(unet))
