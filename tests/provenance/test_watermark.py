"""The watermark: seen by nobody, found by us, not found where it is not."""

from __future__ import annotations

import io
import tracemalloc

import cv2
import numpy as np
import pytest
import pywt
from imwatermark import WatermarkDecoder
from imwatermark.dwtDctSvd import EmbedDwtDctSvd
from PIL import Image

from uip2p.provenance import encode, manifest, watermark
from uip2p.scenes.render import render
from uip2p.scenes.world import World


@pytest.fixture(scope="module")
def marked(large) -> Image.Image:
    return watermark.embed(large)


def test_it_is_found_again(large, marked):
    assert watermark.wrong_bits(marked) == 0 and watermark.found(marked)
    assert not watermark.found(large)


def test_the_package_s_own_decoder_reads_it(marked):
    read = WatermarkDecoder("bits", watermark.BITS).decode(np.asarray(marked)[:, :, ::-1], "dwtDctSvd")
    assert np.array_equal(np.asarray(read, np.uint8), watermark.message())


@pytest.mark.parametrize("size", [(288, 288), (317, 251), (70, 1000)])
def test_it_is_the_package_s_own_step_on_the_coarse_band(size, large):
    """Written out by the package's functions: but for blocks at a step's border, which rounding sends either way."""
    bgr = np.ascontiguousarray(np.asarray(large.resize(size))[:, :, ::-1])
    rows, columns = (side // 4 * 4 for side in bgr.shape[:2])
    coarse = pywt.dwt2(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV)[:rows, :columns, 1], "haar")[0]
    stepped = coarse.copy()
    EmbedDwtDctSvd(watermark.message().tolist(), watermark.BITS).encode_frame(stepped, watermark.STRENGTH)
    expected = bgr[:, :, ::-1].astype(float)
    change = pywt.idwt2((stepped - coarse, (None, None, None)), "haar")
    expected[:rows, :columns] += change[:, :, None] * watermark.RGB_OF_U
    ours = np.asarray(watermark.embed(large.resize(size)))
    assert (np.abs(ours - expected.clip(0, 255)).max(axis=2) < 0.51).mean() > 0.99


def test_a_large_picture_takes_little_memory():
    picture = Image.new("RGB", (4000, 2000), "teal")
    tracemalloc.start()
    watermark.embed(picture)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 4000 * 2000 * 3  # the picture, its copy, and a strip


def test_it_hardly_changes_a_picture(large, marked):
    drawing = Image.fromarray(render(World(seed=0, split="test", size=288).scene(0), 288))
    for before, after in ((large, marked), (drawing, watermark.embed(drawing))):
        change = np.abs(np.asarray(before).astype(int) - np.asarray(after))
        assert 0 < change.max() <= 14 and change.mean() < 2


def test_sides_that_no_block_divides(large):
    odd = large.crop((0, 0, 317, 251))
    after = watermark.embed(odd)
    assert after.size == odd.size and watermark.found(after)


@pytest.mark.parametrize("options", [{"format": "JPEG", "quality": 75}, {"format": "WEBP", "quality": 80}])
def test_it_survives_being_saved(marked, options):
    content = io.BytesIO()
    marked.save(content, **options)
    assert watermark.found(Image.open(content).convert("RGB"))


def test_pictures_without_it_are_not_claimed(large):
    plain = [Image.new("RGB", (256, 256), color) for color in ("white", "black", "navy", "orange")]
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    stripes = Image.fromarray(np.tile(np.uint8([0, 255]).repeat(8), (256, 16))).convert("RGB")
    for picture in (*plain, noise, stripes, large.rotate(180)):
        assert watermark.wrong_bits(picture) >= 18


def test_the_message_names_nobody_and_is_balanced():
    assert watermark.BITS == 61 and watermark.message().sum() == 30
    assert not any(watermark.BITS % divisor == 0 for divisor in range(2, 60))


def test_only_large_pictures_carry_it(large, picture, made):
    assert watermark.fits(large.size) and not watermark.fits(picture.size)
    assert not watermark.fits((4096, 32))

    def said(content: bytes) -> list[str]:
        told = manifest.read(content, "image/png")
        store = told["manifests"][told["active_manifest"]]["assertion_store"]
        return [each["action"] for each in store["c2pa.actions.v2"]["actions"]]

    assert "c2pa.watermarked.unbound" in said(encode(large, "PNG", made))
    assert "c2pa.watermarked.unbound" not in said(encode(large, "PNG", made, watermark=False))
    assert "c2pa.watermarked.unbound" not in said(encode(picture, "PNG", made))
    left = Image.open(io.BytesIO(encode(large, "PNG", made, watermark=False)))
    assert np.array_equal(left, large)
