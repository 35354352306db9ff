"""The metrics against values worked out by hand, and the properties that keep them honest."""

import math

import numpy as np
import pytest
import skimage.metrics
import torch

from uip2p.evaluate import metrics as m


def pictures(batch=8, seed=0):
    return torch.rand(batch, 3, 6, 5, generator=torch.Generator().manual_seed(seed))


def tall(batch=8, seed=0):
    return torch.rand(batch, 3, 16, 9, generator=torch.Generator().manual_seed(seed))


def embeddings(batch=8, seed=0):
    return torch.randn(batch, 7, generator=torch.Generator().manual_seed(seed))


def mask(batch=8):
    mask = torch.zeros(batch, 6, 5, dtype=torch.bool)
    mask[:, 1:3, 2:4] = True
    return mask


def test_copying_the_input_is_free_everywhere_but_inside():
    source, target = pictures(seed=0), pictures(seed=1)
    assert m.l1(source, source).eq(0).all() and m.l2(source, source).eq(0).all()
    assert m.psnr(source, source).eq(math.inf).all()
    torch.testing.assert_close(m.inside_error(source, target, source, mask()), torch.ones(8, dtype=torch.float64))
    assert m.outside_error(source, source, mask()).eq(0).all()


def test_exact_answer_has_no_error_inside():
    source, target = pictures(seed=0), pictures(seed=1)
    assert m.inside_error(target, target, source, mask()).eq(0).all()


def test_known_values():
    black, gray = torch.zeros(1, 3, 6, 5), torch.full((1, 3, 6, 5), 0.5)
    assert m.l1(black, gray).item() == 0.5 and m.l2(black, gray).item() == 0.25
    assert m.psnr(black, gray).item() == pytest.approx(6.0206, abs=1e-4)
    assert m.absolute_sum(black, gray, mask(1)).item() == pytest.approx(4 * 0.5)
    output = torch.where(mask(1)[:, None], 0.4, 0.1).expand(1, 3, 6, 5)  # 4/5 of the edit, and a veil over the rest
    assert m.inside_error(output, gray, black, mask(1)).item() == pytest.approx(0.2)
    assert m.outside_error(output, black, mask(1)).item() == pytest.approx(0.1)


def test_region_errors_do_not_see_the_other_region():
    source, target, output = pictures(seed=0), pictures(seed=1), pictures(seed=2)
    inside = torch.where(mask()[:, None], torch.rand(()), output)
    outside = torch.where(mask()[:, None], output, torch.rand(()))
    assert torch.equal(m.outside_error(output, source, mask()), m.outside_error(inside, source, mask()))
    assert torch.equal(m.inside_error(output, target, source, mask()), m.inside_error(outside, target, source, mask()))


def test_outside_of_a_mask_that_covers_all_is_not_a_number():
    assert m.outside_error(pictures(), pictures(), torch.ones(8, 6, 5, dtype=torch.bool)).isnan().all()


def test_direction_and_similarities():
    picture, other = embeddings(seed=0), embeddings(seed=1)
    torch.testing.assert_close(m.clip_image_similarity(picture, picture), torch.ones(8, dtype=torch.float64))
    words, edited = embeddings(seed=2), embeddings(seed=3)
    assert m.clip_direction(picture, picture, edited, words).eq(0).all()  # an unchanged picture: defined, and 0
    assert m.clip_direction(picture, other, words, words).eq(0).all()  # unchanged words: likewise
    along = picture + 3 * (edited - words)
    torch.testing.assert_close(m.clip_direction(along, picture, edited, words), torch.ones(8, dtype=torch.float64))
    back = picture - 3 * (edited - words)
    torch.testing.assert_close(m.clip_direction(back, picture, edited, words), -torch.ones(8, dtype=torch.float64))


def test_psnr_and_ssim_are_scikit_images_too():
    """Its SSIM reflects at the borders and leaves them out of the mean: so the middle is compared, and all of PSNR."""
    a, b = (torch.rand(3, 3, 40, 36, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    b = (0.7 * a + 0.3 * b).clamp(0, 1)
    for i, found in enumerate(m.psnr(a, b)):
        assert found.item() == pytest.approx(
            skimage.metrics.peak_signal_noise_ratio(a[i].numpy(), b[i].numpy(), data_range=1.0), abs=1e-3
        )
    for i, found in enumerate(m.ssim(a, b)):
        _, full = skimage.metrics.structural_similarity(
            *(np.pad(x[i].numpy().astype(float), ((0, 0), (5, 5), (5, 5)), mode="reflect") for x in (a, b)),
            data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True,
        )  # fmt: skip
        assert found.item() == pytest.approx(full[:, 5:-5, 5:-5].mean(), abs=1e-4)
    torch.testing.assert_close(m.ssim(a, a), torch.ones(3))
    with pytest.raises(ValueError, match="6 pixels"):
        m.ssim(a[..., :5], b[..., :5])


def features(seed=0, batch=8, layers=((4, 5, 6), (7, 3, 2))):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=generator).relu() for shape in layers]


HEADS = [torch.tensor([0.1, 0.0, 0.7, 1.2]), torch.linspace(0, 2, 7)]


def test_lpips_is_its_formula():
    """Written out pixel by pixel: unit vectors over the channels, squared differences, weighted, mean, sum."""
    output, target = features(0), features(1)
    for i, found in enumerate(m.lpips(output, target, HEADS)):
        expected = 0.0
        for a, b, head in zip(output, target, HEADS, strict=True):
            a, b = a[i].double().numpy(), b[i].double().numpy()
            for y in range(a.shape[1]):
                for x in range(a.shape[2]):
                    unit_a = a[:, y, x] / max(np.linalg.norm(a[:, y, x]), 1e-4)
                    unit_b = b[:, y, x] / max(np.linalg.norm(b[:, y, x]), 1e-4)
                    expected += (head.numpy() * (unit_a - unit_b) ** 2).sum() / (a.shape[1] * a.shape[2])
        assert found.item() == pytest.approx(expected, rel=1e-5)
    assert m.lpips(output, output, HEADS).eq(0).all()


def test_bad_features_raise():
    broken = features(1)
    broken[1][3, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="layer 1 are not finite"):
        m.lpips(features(0), broken, HEADS)
    with pytest.raises(ValueError, match="layer 0 needs"):
        m.lpips(features(0), features(1), HEADS[::-1])
    with pytest.raises(ValueError):
        m.lpips(features(0), features(1), HEADS[:1])


CALLS = {
    "l1": lambda i: m.l1(pictures(seed=0)[i], pictures(seed=1)[i]),
    "l2": lambda i: m.l2(pictures(seed=0)[i], pictures(seed=1)[i]),
    "psnr": lambda i: m.psnr(pictures(seed=0)[i], pictures(seed=1)[i]),
    "ssim": lambda i: m.ssim(tall(seed=0)[i], tall(seed=1)[i]),
    "lpips": lambda i: m.lpips([f[i] for f in features(0)], [f[i] for f in features(1)], HEADS),
    "dino": lambda i: m.dino(embeddings(seed=0)[i], embeddings(seed=1)[i]),
    "inside": lambda i: m.inside_error(pictures(seed=2)[i], pictures(seed=1)[i], pictures(seed=0)[i], mask()[i]),
    "outside": lambda i: m.outside_error(pictures(seed=2)[i], pictures(seed=0)[i], mask()[i]),
    "clip_i": lambda i: m.clip_image_similarity(embeddings(seed=0)[i], embeddings(seed=1)[i]),
    "clip_t": lambda i: m.clip_text_similarity(embeddings(seed=0)[i], embeddings(seed=1)[i]),
    "direction": lambda i: m.clip_direction(*(embeddings(seed=s)[i] for s in range(4))),
}


@pytest.mark.parametrize("name", CALLS)
def test_samples_are_independent(name):
    """One at a time equals all at once, and the order of the samples does not matter."""
    whole = CALLS[name](torch.arange(8))
    assert whole.shape == (8,) and whole.unique().numel() == 8
    torch.testing.assert_close(torch.cat([CALLS[name](torch.tensor([i])) for i in range(8)]), whole)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(CALLS[name](order), whole[order])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.2, 1.2])
@pytest.mark.parametrize("metric", [m.l1, m.l2, m.psnr, m.ssim])
def test_a_picture_out_of_range_raises(metric, bad):
    broken = pictures()
    broken[3, 0, 0, 0] = bad
    with pytest.raises(ValueError, match=r"not finite|\[0, 1\]"):
        metric(broken, pictures())
    with pytest.raises(ValueError, match=r"not finite|\[0, 1\]"):
        metric(pictures(), broken)


def test_bad_regions_and_embeddings_raise():
    broken = embeddings()
    broken[0, 0] = math.nan
    for metric in (m.clip_image_similarity, m.clip_text_similarity, m.dino):
        with pytest.raises(ValueError, match="not finite"):
            metric(broken, embeddings())
    with pytest.raises(ValueError, match="not finite"):
        m.clip_direction(embeddings(), broken, embeddings(), embeddings())
    with pytest.raises(ValueError, match="different shapes"):
        m.l1(pictures(), pictures()[:, :, :4])
    with pytest.raises(ValueError, match="expected float"):
        m.l1(pictures()[0], pictures()[0])
    with pytest.raises(ValueError, match="mask"):
        m.outside_error(pictures(), pictures(), mask()[:, :4])
    with pytest.raises(ValueError, match="equal under a mask"):
        m.inside_error(pictures(), pictures(seed=1), pictures(seed=1), mask())


def test_firm_product():
    one, zero = torch.ones(2), torch.zeros(2)
    assert m.firm_product(zero, one).eq(0).all()  # a copy: keeps everything, does nothing
    assert m.firm_product(one, zero).tolist() == pytest.approx([0.6, 0.6])
    assert m.firm_product(one, one).tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(ValueError):
        m.firm_product(torch.tensor([math.nan]), torch.ones(1))
