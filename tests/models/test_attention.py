"""The tap reads the maps that the UNet's attention really uses, and changes nothing."""

import torch

from uip2p.models.attention import Tap, content_map, content_mask, tappable
from uip2p.models.miniature import UnetConfig, build_unet

CONFIG = UnetConfig(widths=(16, 32), attention=(True, True), heads=2, norm_groups=8)


def tiny_unet():
    torch.manual_seed(0)
    return build_unet(CONFIG, latent_channels=4, latent_size=8, text_width=16).eval()


def maps_of(unet, z, t, states, max_side=16):
    tap = Tap(CONTENT, max_side)
    output = unet(z, t, states, cross_attention_kwargs={"tap": tap}).sample
    return output, tap.maps


def inputs():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 4, 8, 8, generator=generator),
        torch.tensor([10, 700]),
        torch.randn(2, 6, 16, generator=generator),
    )


CONTENT = torch.tensor([[False, True, True, False, False, False], [False, True, True, True, True, False]])


def test_output_is_unchanged_with_a_tap_and_without():
    unet, (z, t, states) = tiny_unet(), inputs()
    plain = unet(z, t, states).sample
    untapped = tappable(unet)(z, t, states).sample
    tapped, maps = maps_of(unet, z, t, states)
    assert torch.equal(plain, untapped) and torch.allclose(plain, tapped, atol=1e-6)
    assert [m.shape[1] for m in maps] == [64, 16, 16, 16, 16, 64, 64]  # down, middle, up: 1 + 1 + 1 + 2 + 2 layers


def test_only_small_layers_are_read():
    _, maps = maps_of(tappable(tiny_unet()), *inputs(), max_side=4)
    assert maps and all(m.shape == (2, 16) for m in maps)


def test_a_map_is_diffusers_own_attention_reduced():
    unet, (_, _, states) = tiny_unet(), inputs()
    attn = next(module for name, module in unet.named_modules() if name.endswith("attn2"))
    hidden = torch.randn(2, 64, attn.to_q.in_features, generator=torch.Generator().manual_seed(2))
    q, k = attn.head_to_batch_dim(attn.to_q(hidden)), attn.head_to_batch_dim(attn.to_k(states))
    heads = attn.get_attention_scores(q, k).unflatten(0, (2, attn.heads))  # [B, heads, N, T]
    attended = (heads.mean(1) * CONTENT[:, None, :]).sum(-1)
    expected = attended / attended.mean(-1, keepdim=True)
    split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
    ours = content_map(split(attn.to_q(hidden)), split(attn.to_k(states)), CONTENT, attn.scale)
    assert torch.allclose(ours, expected, atol=1e-4) and torch.allclose(ours.mean(-1), torch.ones(2), atol=1e-5)


def test_maps_carry_gradients_to_the_weights():
    unet = tappable(tiny_unet())
    _, maps = maps_of(unet, *inputs())
    sum(m.square().mean() for m in maps).backward()
    moved = {name: p.grad for name, p in unet.named_parameters() if "attn2.to_k" in name}
    assert moved and all(g is not None and g.abs().sum() > 0 for g in moved.values())


def test_checkpointing_runs_a_layer_again_and_changes_neither_maps_nor_gradients():
    found = []
    for checkpointing in (False, True):
        unet = tappable(tiny_unet()).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        output, maps = maps_of(unet, *inputs())
        (output.square().mean() + sum(m.square().mean() for m in maps)).backward()
        assert len(maps) == 7
        found.append((output.detach(), maps, {name: p.grad for name, p in unet.named_parameters()}))
    (plain, plain_maps, plain_grads), (again, again_maps, again_grads) = found
    assert torch.equal(plain, again) and all(torch.equal(a, b) for a, b in zip(plain_maps, again_maps, strict=True))
    assert all(torch.allclose(plain_grads[name], grad, atol=1e-6) for name, grad in again_grads.items())


def test_text_without_content_gives_a_flat_map():
    q, k = torch.randn(1, 2, 9, 4), torch.randn(1, 2, 5, 4)
    assert torch.allclose(content_map(q, k, torch.zeros(1, 5, dtype=torch.bool), 0.5), torch.ones(1, 9), atol=1e-4)


def test_content_is_neither_start_nor_end_nor_padding():
    ids = torch.tensor([[90, 5, 7, 91, 91, 91]])
    assert content_mask(ids, (90, 91)).tolist() == [[False, True, True, False, False, False]]
